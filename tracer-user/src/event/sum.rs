//! Calls of one function from one place, added up.

use std::sync::Arc;

use tracer_common::{
    aggregate::{Aggregate, site},
    cookie::{Convention, SelfKind},
    guard,
};

use super::{SiteMeta, call::Frame, naming::deletion_of};
use crate::{
    bytecode::Operands,
    catalogue::effects::{self, From},
};

/// Names that a sum shows of a function that has several.
const SHOWN_NAMES: usize = 3;

/// Effect groups whose data are bytes.
const OF_BYTES: [&str; 4] = ["file", "net", "console", "process"];

/// The calls of one function from one place.
#[derive(Clone, Debug)]
pub struct Sum {
    /// `None`: of several, or not known (a process that has forked, whose calls came from too many places).
    pub pid: Option<u32>,
    /// Its name; where values would tell which of several it goes by, these (`list.__setitem__|list.__delitem__`): no values
    /// are looked at.
    pub function: Arc<str>,
    pub effect: &'static str,
    /// The Python code that calls; `None`: there is none, it could not be read, or there were too many places.
    pub place: Option<Frame>,
    pub calls: Aggregate,
}

impl Sum {
    /// Calls whose end was not seen, so far.
    pub fn unobserved(&self) -> u64 {
        self.calls.calls.saturating_sub(self.calls.ended)
    }
}

/// A duration that `share` (0 to 1) of the calls took less than: the end of a bucket of the histogram. `None`: no call ended.
pub fn below_ns(calls: &Aggregate, share: f64) -> Option<u64> {
    let all: u64 = calls.histogram.iter().fold(0, |all, n| all.saturating_add(*n));
    if all == 0 {
        return None;
    }
    let wanted = (all as f64 * share).ceil() as u64;
    let mut seen = 0u64;
    let bucket = calls.histogram.iter().position(|count| {
        seen = seen.saturating_add(*count);
        seen >= wanted
    })?;
    Some(1 << bucket)
}

/// Whether a call goes by one of several names, which the type of `self` tells.
fn is_by_type(meta: &SiteMeta) -> bool {
    meta.self_kind != SelfKind::Module && !meta.aliases.is_empty()
}

/// What a sum calls the function of a site; `ty`: the name of the type by which its calls are added up.
pub fn name(meta: &SiteMeta, ty: Option<&str>) -> Arc<str> {
    let own = std::iter::once(&meta.function);
    let mut names: Vec<Arc<str>> = match is_by_type(meta) {
        true => own.chain(&*meta.aliases).cloned().collect(),
        false => own.cloned().collect(),
    };
    if let Some(ty) = ty {
        let of_type =
            |name: &Arc<str>| &**name == ty || name.rsplit_once('.').is_some_and(|(of, _)| of == ty);
        if let Some(found) = names.iter().find(|name| of_type(name)) {
            names = vec![Arc::clone(found)];
        }
    }
    let shown = names.len().min(SHOWN_NAMES);
    let mut others: Vec<String> = Vec::new();
    for name in &names[..shown] {
        others.extend(also(meta, name));
    }
    if names.len() == 1 && others.is_empty() {
        return names.remove(0);
    }
    let mut text = names[..shown].join("|");
    for other in others {
        text.push('|');
        text.push_str(&other);
    }
    if shown < names.len() {
        text.push_str("|...");
    }
    text.into()
}

/// What the same slot is besides: the one that deletes, the other comparisons.
fn also(meta: &SiteMeta, name: &str) -> Option<String> {
    let (of, method) = name.rsplit_once('.')?;
    if meta.convention == Convention::Compare {
        return Some("...".to_owned());
    }
    let deletes = deletion_of(method).filter(|_| meta.deletion.is_some())?;
    Some(format!("{of}.{deletes}"))
}

/// What the kernel half has to know of a site: bits of [`site`].
pub fn facts(meta: &SiteMeta) -> u64 {
    let mut facts = 0;
    if meta.is_one_act() {
        facts |= site::ACT;
    }
    if meta.named {
        facts |= site::NAMED;
    }
    if is_by_type(meta) {
        facts |= site::BY_TYPE;
    }
    if meta.operands.is_some_and(Operands::may_call) {
        facts |= site::BYTECODE;
    }
    let is_function = meta.operands.is_none()
        && !guard::is_guard(meta.convention as u8)
        && meta.self_kind != SelfKind::Exception;
    if meta.no_return.is_some() || !is_function {
        return facts | site::NO_RETURN;
    }
    let data = std::iter::once(&meta.function)
        .chain(&*meta.aliases)
        .filter_map(|name| effects::find(name))
        .find(|effect| OF_BYTES.contains(&effect.group()))
        .and_then(|effect| effect.data);
    match data {
        Some(From::Argument { position, .. }) if position < 8 => {
            facts | site::RESULT | (position as u64 + 1) << site::ARGUMENT
        }
        Some(_) => facts | site::RESULT,
        None => facts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytecodes_that_may_call_are_told_from_those_that_are_over() {
        let facts_of = |operands| {
            let plain = crate::event::plain_site("app.f", "memory.store_item");
            facts(&SiteMeta { operands, ..plain }) & (site::BYTECODE | site::NO_RETURN | site::ACT)
        };
        assert_eq!(facts_of(None), site::ACT);
        let over = site::ACT | site::NO_RETURN;
        assert_eq!(facts_of(Some(Operands::Item)), over | site::BYTECODE);
        assert_eq!(facts_of(Some(Operands::Read)), over);
    }

    #[test]
    fn quantiles_are_ends_of_buckets() {
        let mut calls = Aggregate::default();
        assert_eq!(below_ns(&calls, 0.5), None);
        calls.histogram[10] = 98;
        calls.histogram[14] = 1;
        calls.histogram[20] = 1;
        assert_eq!(below_ns(&calls, 0.5), Some(1 << 10));
        assert_eq!(below_ns(&calls, 0.99), Some(1 << 14));
        assert_eq!(below_ns(&calls, 1.0), Some(1 << 20));
    }
}
