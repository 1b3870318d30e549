//! What a call belongs to besides its thread, as its entry record tells it.

use std::fmt;

use num_bigint::BigUint;

use super::value::{MaskedText, Value};

/// The greenlet, the asyncio task and the OpenTelemetry span of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attribution<'a> {
    /// The greenlet that ran, if it was not its thread's first.
    pub greenlet: Option<Value<'a>>,
    pub task: Option<Task<'a>>,
    pub span: Option<Span>,
    /// The process has tasks or spans, but this call's could not be found out.
    pub unknown: bool,
}

impl Attribution<'_> {
    /// The greenlet's address.
    pub fn greenlet_id(&self) -> Option<u64> {
        match self.greenlet {
            Some(Value::Object { id, .. }) => Some(id),
            _ => None,
        }
    }
}

/// The asyncio task that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Task<'a> {
    /// Its address.
    pub id: u64,
    /// A `str`, or the number in `Task-1` while nobody has asked for the name; [`Value::Null`] where it has none.
    pub name: Value<'a>,
    /// The coroutine's qualified name, or the coroutine itself, of a type that is not CPython's; [`Value::Null`]: unknown.
    pub coroutine: Value<'a>,
}

/// Ids of the OpenTelemetry span that was current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub trace_id: u128,
    pub span_id: u64,
}

impl Task<'_> {
    /// The name as Python gives it, as far as it was captured.
    pub fn name(&self) -> Option<String> {
        match &self.name {
            // `_asyncio_Task_get_name_impl`, Modules/_asynciomodule.c (3.12+).
            Value::Int(n) => Some(format!("Task-{n}")),
            Value::Masked(Some(MaskedText::Str(text, _))) => Some(text.clone()),
            name => name.text(),
        }
    }
}

impl Span {
    /// Ids of 128 and 64 bits that are not 0; anything else names no span.
    pub fn new(trace_id: &Value<'_>, span_id: &Value<'_>) -> Option<Self> {
        let span = Self {
            trace_id: number(trace_id)?.try_into().ok()?,
            span_id: number(span_id)?.try_into().ok()?,
        };
        (span.trace_id != 0 && span.span_id != 0).then_some(span)
    }
}

/// A number that was captured in full and is not negative.
fn number(value: &Value<'_>) -> Option<BigUint> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok().map(BigUint::from),
        Value::BigInt {
            negative: false,
            magnitude,
            captured,
            digits,
            ..
        } if u64::from(*captured) == *digits => Some(magnitude.clone()),
        _ => None,
    }
}

/// As W3C's `traceparent` has it: `4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:016x}", self.trace_id, self.span_id)
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::wire::TypeRef;

    use super::*;
    use crate::decode::value::Text;

    #[test]
    fn only_ids_that_fit_are_a_span() {
        let big = |digits: u64, magnitude: u128| Value::BigInt {
            negative: false,
            magnitude: magnitude.into(),
            captured: 5,
            digits,
            long: false,
        };
        let trace_id = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
        let span = Span::new(&big(5, trace_id), &Value::Int(0x67aa)).unwrap();
        assert_eq!(
            span.to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736-00000000000067aa"
        );
        let span = Span::new(&Value::Int(1), &big(5, u128::from(u64::MAX))).unwrap();
        assert_eq!((span.trace_id, span.span_id), (1, u64::MAX));
        assert_eq!(Span::new(&Value::Int(0), &Value::Int(1)), None);
        assert_eq!(Span::new(&Value::Int(1), &Value::Int(0)), None);
        assert_eq!(Span::new(&Value::Int(-1), &Value::Int(1)), None);
        assert_eq!(Span::new(&big(6, 1), &Value::Int(1)), None);
        assert_eq!(Span::new(&Value::Int(1), &big(5, 1 << 64)), None);
        assert_eq!(Span::new(&Value::None, &Value::Int(1)), None);
    }

    #[test]
    fn only_an_object_is_a_greenlet() {
        let of = |greenlet| Attribution {
            greenlet,
            ..Attribution::default()
        };
        let ty = TypeRef::default();
        assert_eq!(of(Some(Value::Object { ty, id: 7 })).greenlet_id(), Some(7));
        assert_eq!(of(Some(Value::Unreadable(7))).greenlet_id(), None);
        assert_eq!(of(None).greenlet_id(), None);
    }

    #[test]
    fn a_name_may_be_a_number_still() {
        let task = |name| Task {
            id: 1,
            name,
            coroutine: Value::Null,
        };
        assert_eq!(task(Value::Int(3)).name().as_deref(), Some("Task-3"));
        assert_eq!(task(Value::Null).name(), None);
        let text = Text {
            width: 1,
            data: b"load",
            len: 9,
            unicode: false,
        };
        assert_eq!(task(Value::Str(text)).name().as_deref(), Some("load"));
    }
}
