//! Asks a provider what a job would cost and when it would run, without saying which job it is.

use crate::SOFTWARE;
use crate::error::SubmitError;
use crate::submit::{Control, hang_up};
use isobit_job::{Demand, NodeAddr, SecretKey};
use isobit_transport::connect;
use isobit_wire::{PROTOCOL, Quote, ToProvider, ToRenter};
use quinn::Connection;
use std::time::Duration;

/// Time for the answer, from the first packet on.
const ANSWER: Duration = Duration::from_secs(15);

/// Asks a provider for its prices, for what stands in its queue, and whether it would run a job that asks for this.
///
/// # Errors
/// It cannot be reached, does not answer in time, or takes no jobs from this key.
pub async fn quote(
    addr: &NodeAddr,
    secret: &SecretKey,
    demand: &Demand,
    deadline: Duration,
) -> Result<Quote, SubmitError> {
    let asked = tokio::time::timeout(ANSWER, async {
        let (endpoint, connection) = connect(addr, secret).await?;
        let result = ask(&connection, demand, deadline).await;
        hang_up(&endpoint, &connection, result).await
    });
    asked.await.map_err(|_| SubmitError::Silent { waits_for: "a quote" })?
}

async fn ask(connection: &Connection, demand: &Demand, deadline: Duration) -> Result<Quote, SubmitError> {
    let mut control = Control::open(connection).await?;
    control.say(&ToProvider::Hello { protocol: PROTOCOL, software: SOFTWARE.to_owned() }).await?;
    let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    control.say(&ToProvider::Ask { demand: *demand, deadline_ms }).await?;
    loop {
        match control.hear().await? {
            ToRenter::Quote(quote) => return Ok(*quote),
            ToRenter::Rejected(rejection) => return Err(SubmitError::Rejected(rejection)),
            // The session lets nothing through but `Welcome`.
            _ => {}
        }
    }
}
