//! Reads samples from CSV: in each line numbers, and last the label. Nothing in it is trusted; every error names its line.

/// The most values in all samples together: 128 MiB, the largest binding, hold so many.
const VALUES: usize = 32 * 1024 * 1024;

/// The most values in a sample.
const FEATURES: usize = 4096;

/// The largest label.
const LABEL: u32 = 1023;

/// Samples with their labels.
#[derive(Debug, Default, PartialEq)]
pub struct Table {
    /// Values in a sample.
    pub features: usize,
    /// Sample after sample.
    pub values: Vec<f32>,
    /// A label for each sample, from 0.
    pub labels: Vec<u32>,
}

impl Table {
    /// Parses CSV without a heading. All lines have as many values as the first.
    ///
    /// # Errors
    /// What is wrong, with the number of the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut table = Self::default();
        for (line, number) in text.lines().zip(1..) {
            if line.trim().is_empty() {
                continue;
            }
            table.extend(line).map_err(|error| format!("line {number}: {error}"))?;
        }
        if table.labels.is_empty() {
            return Err("there is no sample".to_owned());
        }
        Ok(table)
    }

    fn extend(&mut self, line: &str) -> Result<(), String> {
        let (values, label) = line.rsplit_once(',').ok_or("a sample has at least one number, a comma and a label")?;
        let label = label.trim();
        let label = label.parse().ok().filter(|label| *label <= LABEL);
        let label = label.ok_or_else(|| format!("{} is no label: they are from 0 to {LABEL}", shown(line, ',')))?;
        let before = self.values.len();
        for value in values.split(',') {
            let value = value.trim();
            let number: Option<f32> = value.parse().ok().filter(|number: &f32| number.is_finite());
            self.values.push(number.ok_or_else(|| format!("{} is no number", shown(value, '\n')))?);
            if self.values.len() > VALUES {
                return Err(format!("more than {VALUES} values"));
            }
        }
        let found = self.values.len() - before;
        if found > FEATURES {
            return Err(format!("{found} numbers: at most {FEATURES}"));
        }
        if self.labels.is_empty() {
            self.features = found;
        }
        if found != self.features {
            return Err(format!("{found} numbers, but {} in the first line", self.features));
        }
        self.labels.push(label);
        Ok(())
    }

    /// Divides all values by the largest magnitude, so that they are from -1 to 1.
    pub fn normalize(&mut self) {
        let largest = self.values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        if largest > 0.0 {
            self.values.iter_mut().for_each(|value| *value /= largest);
        }
    }

    /// How many labels there are, used or not: one more than the largest.
    pub fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |largest| *largest as usize + 1)
    }

    /// The samples to train with, and every fifth, to test with. Those are never trained with.
    pub fn split(&self) -> (Self, Self) {
        let part = |is_test: bool| {
            let mut part = Self { features: self.features, ..Self::default() };
            let samples = self.values.chunks(self.features.max(1)).zip(&self.labels).enumerate();
            for (_, (values, label)) in samples.filter(|(index, _)| (index % 5 == 4) == is_test) {
                part.values.extend(values);
                part.labels.push(*label);
            }
            part
        };
        (part(false), part(true))
    }
}

/// The last field of a line, short enough for a message.
fn shown(line: &str, separator: char) -> String {
    let field = line.rsplit(separator).next().unwrap_or_default();
    format!("{:?}", field.chars().take(24).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_normalized_and_split() {
        let mut table = Table::parse("0,4,1\n\n 1 , -8.0, 0\r\n2,2,3\n3,3,3\n4,4,3").unwrap();
        assert_eq!((table.features, table.classes()), (2, 4));
        table.normalize();
        assert_eq!(table.values, [0.0, 0.5, 0.125, -1.0, 0.25, 0.25, 0.375, 0.375, 0.5, 0.5]);
        let (train, test) = table.split();
        assert_eq!((train.labels, test.labels), (vec![1, 0, 3, 3], vec![3]));
        assert_eq!(test.values, [0.5, 0.5]);
    }

    #[test]
    fn every_broken_file_is_refused_with_its_line() {
        let wide = format!("{}0", "1,".repeat(FEATURES + 1));
        let corpus = [
            ("", "there is no sample"),
            ("\n \n", "there is no sample"),
            ("7", "line 1: a sample has at least one number"),
            ("1,2\n,3", "line 2: \"\" is no number"),
            ("1,a,3", "line 1: \"a\" is no number"),
            ("1,inf,3", "line 1: \"inf\" is no number"),
            ("1,1e99,3", "line 1: \"1e99\" is no number"),
            ("1,2,-1", "line 1: \"-1\" is no label"),
            ("1,2,1.0", "line 1: \"1.0\" is no label"),
            ("1,2,1024", "line 1: \"1024\" is no label"),
            ("1,2,", "line 1: \"\" is no label"),
            ("1,2,3\n\n1,3", "line 3: 1 numbers, but 2 in the first line"),
            ("a,b,c\n1,2,3", "line 1: \"c\" is no label"),
            (&wide, "line 1: 4097 numbers: at most 4096"),
        ];
        for (text, expected) in corpus {
            let error = Table::parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{error} instead of {expected}");
        }
    }
}
