//! Every case of the suite against the real binary, on every buffer. Each is a test of its own, so that a runner tells
//! them apart.

use conformance::case::Varies;
use conformance::case::Verdict;
use conformance::cases;
use conformance::party::transport::Transport;
use conformance::runner::run_one;
use conformance::stand::{Buffer, built_binary};

fn prove(id: &str, buffer: Buffer, transport: Transport) {
    let case = cases::find(id).expect("the id is in the suite");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let line =
        runtime.block_on(run_one(&case, buffer, transport, built_binary().expect("the binary is built")));
    println!("{line}");
    assert!(!matches!(line.verdict, Verdict::Failed(_)), "{line}");
}

macro_rules! every_case {
    ($($name:ident $id:literal)*) => {
        mod embedded {
            $(#[test] fn $name() { super::prove($id, super::Buffer::Embedded, super::Transport::WebSocket) })*
        }

        mod memory {
            $(#[test] fn $name() { super::prove($id, super::Buffer::Memory, super::Transport::WebSocket) })*
        }

        const IDS: &[&str] = &[$($id),*];
    };
}

every_case! {
    ack_01 "ACK-01" ack_02 "ACK-02" ack_03 "ACK-03" ack_04 "ACK-04" ack_05 "ACK-05" ack_06 "ACK-06" ack_07 "ACK-07" ack_08 "ACK-08"
    ack_12 "ACK-12" ack_09 "ACK-09"
    ack_10 "ACK-10" ack_11 "ACK-11"
    dur_02 "DUR-02" dur_03 "DUR-03" dur_06 "DUR-06" dur_07 "DUR-07" dur_08 "DUR-08" led_01 "LED-01"
    dur_09 "DUR-09" dur_10 "DUR-10"
    dur_01 "DUR-01" dur_04 "DUR-04"
    fid_01 "FID-01" fid_02 "FID-02" fid_03 "FID-03"
    ord_01 "ORD-01" shd_01 "SHD-01" rld_01 "RLD-01" sec_01 "SEC-01"
    trn_01 "TRN-01" trn_02 "TRN-02" trn_03 "TRN-03" trn_04 "TRN-04" tap_01 "TAP-01"
    chn_01 "CHN-01" chn_02 "CHN-02"
}

macro_rules! over_transports {
    ($($name:ident $id:literal)*) => {
        mod websocket_compatible {
            $(#[test] fn $name() { super::prove($id, super::Buffer::Embedded, super::Transport::WebSocketCompatible) })*
        }

        mod sse {
            $(#[test] fn $name() { super::prove($id, super::Buffer::Embedded, super::Transport::Sse) })*
        }

        mod long_poll {
            $(#[test] fn $name() { super::prove($id, super::Buffer::Embedded, super::Transport::LongPoll) })*
        }

        const VARIED: &[&str] = &[$($id),*];
    };
}

over_transports! {
    ack_01 "ACK-01" ack_02 "ACK-02" ack_03 "ACK-03" ack_04 "ACK-04" ack_05 "ACK-05" ack_06 "ACK-06" ack_07 "ACK-07"
    ack_08 "ACK-08" ack_12 "ACK-12" ack_10 "ACK-10" fid_01 "FID-01" trn_01 "TRN-01" trn_02 "TRN-02" trn_04 "TRN-04" tap_01 "TAP-01"
}

#[test]
fn every_varied_case_runs_over_every_transport_here() {
    let varied = cases::all().into_iter().filter(|case| case.varies != Varies::No);
    assert_eq!(varied.map(|case| case.id).collect::<Vec<_>>(), VARIED);
}

#[test]
fn every_case_of_the_suite_is_run_here() {
    let all: Vec<_> = cases::all().iter().map(|case| case.id).collect();
    assert_eq!(all, IDS);
}
