//! What a connector of the compatible dialect announces in the headers of its request.

use engine::ledger::Window;
use engine::limits::Limits;
use engine::supply::{Carries, Unfit};
use http::HeaderMap;
use schemas::wire::compatible::{self, BodyForm, MAX_FRAME_HEADER, WINDOW_HEADER};
use schemas::wire::{VERSION, VERSION_HEADER};

/// The longest name of a connector that is kept, in bytes.
const LONGEST_NAME: usize = 128;

/// What a connector announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Whether it knows our additions.
    pub(crate) version: bool,
    /// The largest message it takes, when it says so.
    pub(crate) max_frame: Option<usize>,
    /// Its window, within the channel's.
    pub(crate) window: Window,
    /// Its name.
    pub(crate) connector: Option<String>,
}

impl Announced {
    /// Reads the headers of a request. What cannot be read counts as not announced.
    pub(crate) fn read(headers: &HeaderMap, limits: &Limits) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let window = text(WINDOW_HEADER).and_then(|window| {
            let (events, bytes) = window.split_once(';')?;
            Some(Window { events: events.trim().parse().ok()?, bytes: bytes.trim().parse().ok()? })
        });
        let name = text("x-connector-id").filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
        Self {
            version: text(VERSION_HEADER) == Some(VERSION),
            max_frame: text(MAX_FRAME_HEADER).and_then(|bytes| bytes.parse().ok()),
            window: window.map_or(limits.window(), |window| window.min(limits.window())),
            connector: name.map(str::to_owned),
        }
    }

    /// Returns how bodies travel to this connector.
    pub(crate) fn form(&self) -> BodyForm {
        if self.version { BodyForm::Base64 } else { BodyForm::Payload }
    }

    /// Returns what this connector can carry in messages of at most `largest` bytes; none there means any size.
    pub(crate) fn carries(&self, largest: Option<usize>) -> Carries {
        let (form, largest) = (self.form(), self.max_frame.or(largest));
        Carries::new(move |webhook| {
            if let Some(largest) = largest
                && compatible::longest(webhook, form) > largest
            {
                return Err(Unfit(
                    format!("its message is longer than the connector's {largest} bytes").into(),
                ));
            }
            if form == BodyForm::Payload && !compatible::is_json(&webhook.body) {
                return Err(Unfit("its body is not JSON, and the connector takes nothing else".into()));
            }
            Ok(())
        })
    }
}
