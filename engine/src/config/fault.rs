//! Complaints about a configuration, collected and told together.

use super::Pointer;
use super::locate::{Place, place_of};

/// One complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Pointer,
    /// What is wrong, in the user's words.
    pub problem: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The place in the text, where the pointer does not tell it.
    place: Option<Place>,
}

impl Fault {
    fn new(at: &Pointer, problem: impl Into<String>, help: Option<String>) -> Self {
        Self { at: at.clone(), problem: problem.into(), help, place: None }
    }

    /// Returns the place in `source`, the text of the document.
    #[must_use]
    pub fn place(&self, source: &str) -> Place {
        self.place.unwrap_or_else(|| place_of(source, &self.at))
    }
}

/// Every complaint about a configuration. Faults refuse it; warnings do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Faults {
    /// Adds a fault, once.
    pub fn add(&mut self, at: &Pointer, problem: impl Into<String>, help: Option<String>) {
        self.push(Fault::new(at, problem, help));
    }

    /// Adds something that deserves a look and refuses nothing.
    pub fn warn(&mut self, at: &Pointer, problem: impl Into<String>) {
        self.warnings.push(Fault::new(at, problem, None));
    }

    /// Several stages may complain about the one place that describes them all.
    fn push(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Adds a fault whose pointer does not tell its place in the text.
    pub(super) fn add_at_place(&mut self, at: &Pointer, place: Place, problem: String, help: Option<String>) {
        self.faults.push(Fault { place: Some(place), ..Fault::new(at, problem, help) });
    }

    /// Takes over the complaints of `others`, each where `place` says it belongs; none where it says that it is none.
    pub fn take_over(&mut self, others: Self, place: impl Fn(&Pointer) -> Option<Pointer>) {
        let moved = |fault: Fault| Some(Fault { at: place(&fault.at)?, ..fault });
        others.faults.into_iter().filter_map(moved).for_each(|fault| self.push(fault));
        self.warnings.extend(others.warnings.into_iter().filter_map(moved));
    }

    /// Returns how many faults there are; warnings do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.faults.len()
    }

    /// Returns true when nothing refuses the configuration.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns the faults in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    /// Returns the warnings in the order they were found.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.warnings.iter()
    }

    /// Renders the faults for people: the file, how many, then one line each with pointer, line number and problem.
    #[must_use]
    pub fn render(&self, file: &str, source: &str) -> String {
        let problems = if self.len() == 1 { "problem" } else { "problems" };
        format!("{file}: {} {problems}\n{}", self.len(), rows(&self.faults, source, ""))
    }

    /// Renders the warnings for people, one line each.
    #[must_use]
    pub fn render_warnings(&self, source: &str) -> String {
        rows(&self.warnings, source, "warning: ")
    }
}

fn rows(faults: &[Fault], source: &str, before: &str) -> String {
    let mut rows: Vec<_> = faults.iter().map(|fault| (fault.place(source), fault)).collect();
    rows.sort_by_key(|(place, _)| *place);
    let width = rows.iter().map(|(_, fault)| fault.at.to_string().len()).max().unwrap_or(0);
    let row = |(place, fault): (Place, &Fault)| {
        let Fault { at, problem, help, .. } = fault;
        let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("  {:width$}  line {:<5} {before}{problem}{help}\n", at.to_string(), place.line)
    };
    rows.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_in_the_order_of_the_file_with_their_lines() {
        let source = "{\n  \"a\": {\n    \"b\": 1\n  },\n  \"c\": 2\n}";
        let mut faults = Faults::default();
        faults.add(&Pointer::root().child("c"), "is too small", None);
        faults.add(&Pointer::root().child("a").child("b"), "is odd", Some("try 2".to_owned()));
        faults.warn(&Pointer::root(), "not told here");
        let wanted =
            "x.json: 2 problems\n  /a/b  line 3     is odd; try 2\n  /c    line 5     is too small\n";
        assert_eq!(faults.render("x.json", source), wanted);
    }
}
