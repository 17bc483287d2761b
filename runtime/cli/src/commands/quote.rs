//! `isobit quote`: what providers would charge for a job, and when they would run it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use isobit_job::{Amount, Bytes, Demand, DeviceClass, Item, Limits, NodeAddr, Prices, Profile, SecretKey, Terms};
use isobit_renter::quote;
use isobit_wire::Quote as Answered;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::alone;
use crate::escape;
use crate::failure::{Failure, Status};
use crate::interrupt::leave_when_asked;
use crate::job_args::{LimitArgs, Pair, Span, TermArgs, path_pair};
use crate::key::KeyArgs;
use crate::printer::Printer;
use crate::table::{Table, listed};

/// Ask providers what a job would cost and when it would run
///
/// They are told the job's limits and the size of its files, and neither its name nor what is in them. `at most` is what the job costs if it uses all of its
/// limits: --fuel, --kernel-fuel and --output-bytes make that less. No money moves.
///
/// Exit status 0: at least one would run the job. 1: none would. 2: none has answered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  isobit quote provider.example:4433#KEY other.example:4433#KEY --fuel 10G --kernel-fuel 1T --output-bytes 64MiB
  isobit quote provider.example:4433#KEY --workload photo.wasm -i photo=in.png --budget 0.5EUR --json")]
pub struct Quote {
    /// The providers' addresses: host:port#key
    #[arg(required = true, value_name = "ADDRESS")]
    providers: Vec<NodeAddr>,
    /// The workload, for its size; or a kernel alone
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// An input, for its size, or a file that a kernel alone binds, under any name; may be given again
    #[arg(short, long, value_name = "NAME=PATH", value_parser = path_pair)]
    input: Vec<Pair<PathBuf>>,
    /// The arithmetic rules for kernels: dp32 or native
    #[arg(long, value_name = "PROFILE", default_value_t)]
    profile: Profile,
    /// The class of device that the job needs: base or large
    #[arg(long, value_name = "CLASS", default_value_t)]
    class: DeviceClass,
    /// How long the job may run
    #[arg(long, value_name = "TIME", default_value = "1h")]
    deadline: Span,
    #[command(flatten)]
    terms: TermArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Serialize)]
struct Answer {
    quotes: Vec<Row>,
}

/// One provider's answer.
#[derive(Serialize)]
struct Row {
    address: NodeAddr,
    /// Whether it would run the job.
    takes: bool,
    /// Why it would not, or why there is no answer.
    reason: Option<String>,
    #[serde(flatten)]
    offer: Option<Offer>,
}

#[derive(Serialize)]
struct Offer {
    device: String,
    /// The device classes that it runs jobs of.
    classes: BTreeSet<DeviceClass>,
    /// None if it charges nothing.
    prices: Option<Prices>,
    /// What the job costs at most, in millionths of the prices' currency.
    most: Amount,
    deadline_ms: u64,
    slots: u32,
    running: u32,
    waiting: u32,
    places: u32,
    /// The number in line of the job if it came now; 0 runs at once.
    position: u32,
}

impl Quote {
    /// Asks all of them at once.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        leave_when_asked();
        let secret = self.key.find()?.unwrap_or_else(SecretKey::generate);
        let demand = demand(self.workload.as_deref(), &self.input, self.limits.into(), self.profile, self.class)?;
        let (terms, deadline) = (Terms::from(self.terms), Duration::from(self.deadline));
        let runtime = tokio::runtime::Runtime::new()?;
        let mut quotes = runtime.block_on(async {
            let mut asked = JoinSet::new();
            for (place, address) in self.providers.into_iter().enumerate() {
                let (secret, terms) = (SecretKey::from_bytes(secret.to_bytes()), terms.clone());
                asked.spawn(async move {
                    let row = match quote(&address, &secret, &demand, deadline).await {
                        Ok(answered) => Row::of(address, answered, &demand, &terms),
                        Err(error) => {
                            let reason = match error.hint() {
                                hint if hint.is_empty() => error.to_string(),
                                hint => format!("{error} ({hint})"),
                            };
                            Row { address, takes: false, reason: Some(reason), offer: None }
                        }
                    };
                    (place, row)
                });
            }
            asked.join_all().await
        });
        quotes.sort_by_key(|(place, _)| *place);
        let answer = Answer { quotes: quotes.into_iter().map(|(_, row)| row).collect() };
        printer.answer(&answer, &answer)?;
        Ok(answer.status())
    }
}

/// What the job asks for, as far as that follows from the sizes of its files. One that is given twice counts twice, unlike in a submission.
fn demand(
    workload: Option<&Path>,
    inputs: &[Pair<PathBuf>],
    limits: Limits,
    profile: Profile,
    class: DeviceClass,
) -> anyhow::Result<Demand> {
    let kernel = workload.filter(|path| alone::is_kernel(path)).map(size).transpose()?;
    let workload = match kernel {
        Some(_) => alone::workload()?.blob().size,
        None => workload.map_or(Ok(Bytes::ZERO), size)?,
    };
    let inputs =
        inputs.iter().try_fold(Bytes::ZERO, |sum, input| Ok::<_, Failure>(sum.saturating_add(size(&input.value)?)))?;
    let inputs = inputs.saturating_add(kernel.unwrap_or(Bytes::ZERO));
    Ok(Demand { limits, profile, class, workload, inputs, blobs: workload.saturating_add(inputs) })
}

fn size(path: &Path) -> Result<Bytes, Failure> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Bytes::saturating_from(found.len())),
        Ok(_) => Err(Failure::new(format!("{shown} is not a regular file")).hint("name the file that is to be sent")),
        Err(error) => Err(Failure::new(format!("cannot read {shown}: {error}")).hint("look at the path")),
    }
}

impl Row {
    fn of(address: NodeAddr, answered: Answered, demand: &Demand, terms: &Terms) -> Self {
        let Answered { prices, refusal, deadline_ms, device, classes, slots, running, waiting, places, position } =
            answered;
        let most = prices.as_ref().map_or(Amount::ZERO, |prices| prices.total(&demand.most()));
        let beyond = prices.as_ref().and_then(|prices| terms.check(prices, demand).err());
        let reason = refusal.map(|refusal| refusal.to_string()).or_else(|| beyond.map(|beyond| beyond.to_string()));
        let offer = Offer { device, classes, prices, most, deadline_ms, slots, running, waiting, places, position };
        Self { address, takes: reason.is_none(), reason, offer: Some(offer) }
    }

    /// What would become of the job.
    fn fate(&self) -> String {
        match (&self.reason, &self.offer) {
            (Some(reason), _) => format!("no: {}", escape::line(reason)),
            (None, Some(Offer { position: 0, .. })) => "runs at once".to_owned(),
            (None, Some(Offer { position, running, waiting, .. })) => {
                format!("waits, number {position} in line ({running} running, {waiting} waiting)")
            }
            (None, None) => String::new(),
        }
    }
}

impl Answer {
    fn status(&self) -> Status {
        match &self.quotes {
            quotes if quotes.iter().any(|row| row.takes) => Status::Ok,
            quotes if quotes.iter().any(|row| row.offer.is_some()) => Status::No,
            _ => Status::CouldNot,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = Item::ALL.map(|item| format!("{} for", item.name()));
        let [guest, kernel, input, output] = &heads;
        let units = ["10^9", "10^12", "a GiB", "a GiB"];
        let mut table =
            Table::new(["provider", "device", "classes", guest, kernel, input, output, "at most", "the job"]);
        let [guest, kernel, input, output] = units.map(str::to_owned);
        let [first, second, third, most, fate] = [(); 5].map(|()| String::new());
        table.row([first, second, third, guest, kernel, input, output, most, fate]);
        for row in &self.quotes {
            let address = row.address.to_string();
            let Some(offer) = &row.offer else {
                let [blank, none] = [String::new(), "-".to_owned()];
                let dashes = [(); 5].map(|()| none.clone());
                let [classes, guest, kernel, input, output] = dashes;
                table.row([address, none, classes, guest, kernel, input, output, blank, row.fate()]);
                continue;
            };
            let free = Prices::default();
            let prices = offer.prices.as_ref().unwrap_or(&free);
            let [guest, kernel, input, output] = Item::ALL.map(|item| prices.of(item).to_string());
            let most = match prices.are_zero() {
                true => "nothing".to_owned(),
                false => format!("{} {}", offer.most, prices.currency),
            };
            let device = escape::line(&offer.device).into_owned();
            table.row([address, device, listed(&offer.classes), guest, kernel, input, output, most, row.fate()]);
        }
        table.fmt(f)
    }
}
