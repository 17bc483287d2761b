//! What a job costs: a provider's prices, the bill of a claim, and what a renter is willing to pay. Integers throughout, so that everybody comes
//! to the same bill. No money moves here: a bill is a statement, and settling it is other people's business.
//!
//! An item of a bill is `price * amount / unit`, rounded down to a whole millionth; the bill is the sum of its four items. Each is at most
//! [`Amount::MAX`], and so is the sum: what would be more is that.
//!
//! ```
//! use isobit_job::{Cost, Fuel, Prices};
//!
//! let prices: Prices = "guest-fuel=0.000005,kernel-fuel=0.05,currency=EUR".parse()?;
//! let cost = Cost { guest_fuel: Fuel::from(3_000_000_000), kernel_fuel: Fuel::from(1_000_000_000), ..Cost::default() };
//! let bill = prices.bill(&cost);
//! assert_eq!(bill.total.to_string(), "0.000065");
//! # Ok::<(), isobit_job::PriceError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::{Amount, Bytes, Cost, DeviceClass, JobSpec, Limits, Profile, QuantityError};

/// The most characters of a [`Currency`].
pub const MAX_CURRENCY: usize = 12;

/// What amounts are in: 1 to [`MAX_CURRENCY`] ASCII letters and digits, the first a letter, such as `EUR`. Its meaning is agreed on elsewhere. The
/// default is `credits`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(String);

impl Default for Currency {
    fn default() -> Currency {
        Currency("credits".to_owned())
    }
}

impl TryFrom<String> for Currency {
    type Error = PriceError;

    fn try_from(text: String) -> Result<Currency, PriceError> {
        let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.len() <= MAX_CURRENCY
            && text.chars().all(|c| c.is_ascii_alphanumeric());
        if is_name { Ok(Currency(text)) } else { Err(PriceError::Currency { text }) }
    }
}

impl FromStr for Currency {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Currency, PriceError> {
        Currency::try_from(text.to_owned())
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why text is not a price list, a currency or an amount of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum PriceError {
    #[error(
        "{text:?} is no price; write for example guest-fuel=0.000005,kernel-fuel=0.05,in=0.001,out=0.01,currency=EUR"
    )]
    Item { text: String },
    #[error("`{name}` has two prices")]
    Twice { name: String },
    #[error("{text:?} is no currency: 1 to {MAX_CURRENCY} letters and digits, a letter first, such as EUR")]
    Currency { text: String },
    #[error(transparent)]
    Amount(#[from] QuantityError),
}

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// [`Cost::guest_fuel`].
    GuestFuel,
    /// [`Cost::kernel_fuel`].
    KernelFuel,
    /// [`Cost::input_bytes`].
    InputBytes,
    /// [`Cost::output_bytes`].
    OutputBytes,
}

impl Item {
    /// All of them, in the order of a bill.
    pub const ALL: [Item; 4] = [Item::GuestFuel, Item::KernelFuel, Item::InputBytes, Item::OutputBytes];

    /// Its name in a price list.
    pub const fn name(self) -> &'static str {
        match self {
            Item::GuestFuel => "guest-fuel",
            Item::KernelFuel => "kernel-fuel",
            Item::InputBytes => "in",
            Item::OutputBytes => "out",
        }
    }

    /// How much of it a price is for: 10^9 guest fuel, 10^12 kernel fuel, a GiB.
    pub const fn unit(self) -> u64 {
        match self {
            Item::GuestFuel => 1_000_000_000,
            Item::KernelFuel => 1_000_000_000_000,
            Item::InputBytes | Item::OutputBytes => 1 << 30,
        }
    }

    /// The unit in words.
    pub const fn unit_name(self) -> &'static str {
        match self {
            Item::GuestFuel => "10^9 guest fuel",
            Item::KernelFuel => "10^12 kernel fuel",
            Item::InputBytes => "a GiB in",
            Item::OutputBytes => "a GiB out",
        }
    }

    /// How much of it something cost.
    const fn of(self, cost: &Cost) -> u64 {
        match self {
            Item::GuestFuel => cost.guest_fuel.get(),
            Item::KernelFuel => cost.kernel_fuel.get(),
            Item::InputBytes => cost.input_bytes.get(),
            Item::OutputBytes => cost.output_bytes.get(),
        }
    }
}

/// What a provider asks for, or the most that a renter pays, by item. Written as a list, `guest-fuel=0.000005,out=0.01,currency=EUR`; an item that the
/// list leaves out has the price zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Prices {
    /// What they are in.
    pub currency: Currency,
    /// For 10^9 of the guest's fuel.
    pub guest_fuel: Amount,
    /// For 10^12 of kernel fuel.
    pub kernel_fuel: Amount,
    /// For a GiB of inputs.
    pub input_bytes: Amount,
    /// For a GiB of outputs.
    pub output_bytes: Amount,
}

impl Prices {
    /// The price of an item, for [`Item::unit`] of it.
    pub const fn of(&self, item: Item) -> Amount {
        match item {
            Item::GuestFuel => self.guest_fuel,
            Item::KernelFuel => self.kernel_fuel,
            Item::InputBytes => self.input_bytes,
            Item::OutputBytes => self.output_bytes,
        }
    }

    /// Whether nothing is charged.
    pub fn are_zero(&self) -> bool {
        Item::ALL.iter().all(|item| self.of(*item) == Amount::ZERO)
    }

    /// What one item of a bill comes to.
    pub fn item(&self, item: Item, cost: &Cost) -> Amount {
        // At most 2^53 * 2^53.
        let exact = u128::from(self.of(item).get()) * u128::from(item.of(cost)) / u128::from(item.unit());
        Amount::saturating_from(u64::try_from(exact).unwrap_or(u64::MAX))
    }

    /// The sum of all items.
    pub fn total(&self, cost: &Cost) -> Amount {
        Item::ALL.iter().fold(Amount::ZERO, |sum, item| sum.saturating_add(self.item(*item, cost)))
    }

    /// The bill of what something cost.
    pub fn bill(&self, cost: &Cost) -> Bill {
        Bill { prices: self.clone(), total: self.total(cost) }
    }

    fn set(&mut self, name: &str, amount: Amount) -> bool {
        let price = match name {
            "guest-fuel" => &mut self.guest_fuel,
            "kernel-fuel" => &mut self.kernel_fuel,
            "in" => &mut self.input_bytes,
            "out" => &mut self.output_bytes,
            _ => return false,
        };
        *price = amount;
        true
    }
}

impl FromStr for Prices {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Prices, PriceError> {
        let mut prices = Prices::default();
        let mut seen = Vec::new();
        for item in text.split(',') {
            let wrong = || PriceError::Item { text: item.trim().to_owned() };
            let (name, value) = item.trim().split_once('=').ok_or_else(wrong)?;
            if seen.contains(&name) {
                return Err(PriceError::Twice { name: name.to_owned() });
            }
            seen.push(name);
            if name == "currency" {
                prices.currency = value.parse()?;
            } else if !prices.set(name, value.parse()?) {
                return Err(wrong());
            }
        }
        Ok(prices)
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in Item::ALL {
            write!(f, "{}={},", item.name(), self.of(item))?;
        }
        write!(f, "currency={}", self.currency)
    }
}

/// What a run costs by a provider's prices. In a receipt it is signed, and [`Receipt::check`](crate::Receipt::check) recomputes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bill {
    /// The provider's prices.
    pub prices: Prices,
    /// The sum, in millionths of the prices' currency.
    pub total: Amount,
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.total, self.prices.currency)
    }
}

/// An amount in a currency. Written as `1.5EUR`; without a currency, in the default one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub currency: Currency,
}

impl FromStr for Money {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Money, PriceError> {
        let text = text.trim();
        let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (amount, currency) = text.split_at(end);
        let currency = if currency.is_empty() { Currency::default() } else { currency.parse()? };
        Ok(Money { amount: amount.trim_end().parse()?, currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// What a job asks of a provider, without saying which job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// The job's limits.
    pub limits: Limits,
    /// Its profile.
    pub profile: Profile,
    /// The class of device that it needs.
    pub class: DeviceClass,
    /// Bytes of the workload.
    pub workload: Bytes,
    /// Bytes of all inputs, which are billed.
    pub inputs: Bytes,
    /// Bytes of all blobs, each counted once.
    pub blobs: Bytes,
}

impl JobSpec {
    /// What the job asks of a provider.
    pub fn demand(&self) -> Demand {
        let sum = |sizes: &mut dyn Iterator<Item = Bytes>| sizes.fold(Bytes::ZERO, Bytes::saturating_add);
        Demand {
            limits: self.limits,
            profile: self.profile,
            class: self.class,
            workload: self.workload.size,
            inputs: sum(&mut self.inputs.values().map(|blob| blob.size)),
            blobs: sum(&mut self.blobs().values().map(|blob| blob.size)),
        }
    }
}

impl Demand {
    /// What the job costs at most: it ends when it reaches a limit.
    pub const fn most(&self) -> Cost {
        Cost {
            guest_fuel: self.limits.fuel,
            kernel_fuel: self.limits.kernel_fuel,
            input_bytes: self.inputs,
            output_bytes: self.limits.output_bytes,
        }
    }
}

/// What a renter pays at most. It is sent with a job and is not part of the job spec, because it has no bearing on the result.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Terms {
    /// The most for each item. An item without a price there may cost nothing.
    pub max_price: Option<Prices>,
    /// The most for the whole job.
    pub budget: Option<Money>,
}

/// A provider's prices are beyond a renter's [`Terms`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum TooExpensive {
    #[error("the provider asks {asked} {currency} for {unit}; the most that is to be paid is {most} {currency}", unit = item.unit_name())]
    Price { item: Item, asked: Amount, most: Amount, currency: Currency },
    #[error("the job could cost {most} {currency} by its limits and the provider's prices ({parts}); its budget is {budget} {currency}", parts = Parts(items))]
    Budget {
        /// What each item comes to at most.
        items: [Amount; 4],
        most: Amount,
        budget: Amount,
        currency: Currency,
    },
    #[error("the provider asks for {asked}, and what is to be paid is in {offered}")]
    Currency { asked: Currency, offered: Currency },
}

/// The items of a bill, in words.
struct Parts<'a>(&'a [Amount; 4]);

impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (item, amount)) in Item::ALL.iter().zip(self.0).enumerate() {
            write!(f, "{}{} {amount}", if place == 0 { "" } else { ", " }, item.name())?;
        }
        Ok(())
    }
}

impl TooExpensive {
    /// What the renter can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            TooExpensive::Price { .. } => "raise --max-price, or ask other providers: `isobit quote`",
            TooExpensive::Budget { .. } => {
                "lower the job's limits (--fuel, --kernel-fuel, --output-bytes), raise --budget, or ask other providers: `isobit quote`"
            }
            TooExpensive::Currency { .. } => {
                "give --max-price and --budget in the provider's currency, or ask other providers: `isobit quote`"
            }
        }
    }
}

impl Terms {
    /// Whether a job may be run at these prices.
    ///
    /// # Errors
    /// A price, or what the job could cost at most, is more than the renter pays.
    pub fn check(&self, prices: &Prices, demand: &Demand) -> Result<(), TooExpensive> {
        if prices.are_zero() {
            return Ok(());
        }
        let same = |offered: &Currency| {
            let wrong = || TooExpensive::Currency { asked: prices.currency.clone(), offered: offered.clone() };
            if *offered == prices.currency { Ok(()) } else { Err(wrong()) }
        };
        if let Some(most) = &self.max_price {
            same(&most.currency)?;
            if let Some(item) = Item::ALL.into_iter().find(|item| prices.of(*item) > most.of(*item)) {
                let (asked, most, currency) = (prices.of(item), most.of(item), prices.currency.clone());
                return Err(TooExpensive::Price { item, asked, most, currency });
            }
        }
        if let Some(Money { amount: budget, currency }) = &self.budget {
            same(currency)?;
            let cost = demand.most();
            let (items, most) = (Item::ALL.map(|item| prices.item(item, &cost)), prices.total(&cost));
            if most > *budget {
                return Err(TooExpensive::Budget { items, most, budget: *budget, currency: currency.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Blob, Fuel};
    use proptest::prelude::*;

    fn prices(text: &str) -> Prices {
        text.parse().unwrap()
    }

    fn demand() -> Demand {
        let (workload, limits) = (Blob::of(b"workload"), Limits::default());
        let twice = [("a", Blob::of(b"input")), ("b", Blob::of(b"input"))];
        let inputs = twice.map(|(name, blob)| (name.parse().unwrap(), blob)).into();
        let (profile, class) = (Profile::Dp32, DeviceClass::Base);
        JobSpec { workload, inputs, params: Default::default(), limits, profile, class }.demand()
    }

    #[test]
    fn a_price_list_is_read_in_any_order_and_shown_in_one() {
        let list = prices("out=0.01, guest-fuel=2,currency=EUR");
        assert_eq!(list.to_string(), "guest-fuel=2,kernel-fuel=0,in=0,out=0.01,currency=EUR");
        assert_eq!(list, prices(&list.to_string()));
        assert_eq!(prices("in=1").currency.to_string(), "credits");
        assert!(Prices::default().are_zero() && !list.are_zero());
    }

    #[test]
    fn what_is_no_price_list_is_refused_with_an_example() {
        let message = |text: &str| text.parse::<Prices>().unwrap_err().to_string();
        for wrong in ["", "guest-fuel", "gpu=1", "in=1,,out=1"] {
            assert!(message(wrong).contains("write for example guest-fuel="), "{wrong}");
        }
        assert_eq!(message("in=1,in=2"), "`in` has two prices");
        assert!(message("currency=E U R").contains("is no currency"));
        assert!(message("currency=").contains("is no currency"));
        assert!(message("in=0.0000001").contains("six"), "{}", message("in=0.0000001"));
        assert!(message("in=-1").contains("write for example"));
        assert_eq!("1.5EUR".parse::<Money>().unwrap().to_string(), "1.5 EUR");
        assert_eq!("2".parse::<Money>().unwrap().to_string(), "2 credits");
        assert!("EUR".parse::<Money>().is_err() && "1.5 E-R".parse::<Money>().is_err());
    }

    #[test]
    fn items_are_rounded_down_and_nothing_overflows() {
        let list = prices("guest-fuel=0.000001,kernel-fuel=0.000001,in=0.000001,out=0.000001");
        let almost = Item::ALL.map(|item| item.unit() - 1);
        let cost = |[guest, kernel, input, output]: [u64; 4]| Cost {
            guest_fuel: Fuel::saturating_from(guest),
            kernel_fuel: Fuel::saturating_from(kernel),
            input_bytes: Bytes::saturating_from(input),
            output_bytes: Bytes::saturating_from(output),
        };
        // Four items of almost a millionth each are nothing.
        assert_eq!(list.total(&cost(almost)), Amount::ZERO);
        assert_eq!(list.total(&cost(Item::ALL.map(Item::unit))).get(), 4);
        let dearest = Prices {
            guest_fuel: Amount::MAX,
            kernel_fuel: Amount::MAX,
            input_bytes: Amount::MAX,
            output_bytes: Amount::MAX,
            ..Prices::default()
        };
        assert_eq!(dearest.bill(&cost([u64::MAX; 4])).total, Amount::MAX);
    }

    #[test]
    fn a_demand_counts_inputs_as_they_are_billed_and_blobs_as_they_are_stored() {
        let demand = demand();
        assert_eq!((demand.inputs.get(), demand.blobs.get(), demand.workload.get()), (10, 13, 8));
        assert_eq!(demand.most().guest_fuel, Limits::default().fuel);
    }

    #[test]
    fn terms_are_checked_against_prices_and_against_what_the_job_could_cost() {
        let asked = prices("guest-fuel=0.001,kernel-fuel=0.002,out=0.25,currency=EUR");
        let check = |max_price: Option<&str>, budget: Option<&str>| {
            let terms = Terms { max_price: max_price.map(prices), budget: budget.map(|text| text.parse().unwrap()) };
            terms.check(&asked, &demand()).map_err(|error| (error.to_string(), error.hint()))
        };
        let refused = |max_price, budget| check(max_price, budget).unwrap_err().0;
        assert_eq!(check(None, None), Ok(()));
        assert_eq!(check(Some("guest-fuel=0.001,kernel-fuel=1,out=0.25,currency=EUR"), Some("4EUR")), Ok(()));
        assert_eq!(
            refused(Some("guest-fuel=1,kernel-fuel=1,currency=EUR"), None),
            "the provider asks 0.25 EUR for a GiB out; the most that is to be paid is 0 EUR"
        );
        // 10^12 guest fuel, 10^15 kernel fuel, 4 GiB.
        assert_eq!(
            refused(None, Some("3.999999EUR")),
            "the job could cost 4 EUR by its limits and the provider's prices (guest-fuel 1, kernel-fuel 2, in 0, out 1); its budget is 3.999999 EUR"
        );
        assert_eq!(refused(None, Some("100")), "the provider asks for EUR, and what is to be paid is in credits");
        assert_eq!(Terms { budget: "0".parse().ok(), ..Terms::default() }.check(&Prices::default(), &demand()), Ok(()));
    }

    proptest! {
        #[test]
        fn a_run_within_its_limits_is_never_billed_more_than_was_foretold(
            list: [u64; 4], limits: [u64; 3], used: [u64; 3], input: u64,
        ) {
            let [guest_fuel, kernel_fuel, input_bytes, output_bytes] = list.map(Amount::saturating_from);
            let list = Prices { currency: Currency::default(), guest_fuel, kernel_fuel, input_bytes, output_bytes };
            let cost = |[guest, kernel, output]: [u64; 3]| Cost {
                guest_fuel: Fuel::saturating_from(guest),
                kernel_fuel: Fuel::saturating_from(kernel),
                input_bytes: Bytes::saturating_from(input),
                output_bytes: Bytes::saturating_from(output),
            };
            let within = [0, 1, 2].map(|i| limits[i].min(used[i]));
            prop_assert!(list.total(&cost(within)) <= list.total(&cost(limits)));
            prop_assert_eq!(list.to_string().parse(), Ok(list));
        }

        #[test]
        fn reading_any_text_does_not_panic(text: String) {
            let _ = (text.parse::<Prices>(), text.parse::<Money>());
        }
    }
}
