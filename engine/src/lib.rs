//! The machine: webhooks, acknowledgements, ledgers, ports, configuration and graphs.
