//! OpenTelemetry's current span, as `opentelemetry-api` keeps it: a `ContextVar` has a dict, that has the span under a key, and the
//! span has a tuple with the ids.

use tracer_common::{
    attribution::{Attribution, hamt_hash},
    encode::{Slot, attribute},
    target::ABSENT,
};

use super::{Shared, View};
use crate::{cpython::layout::ABSENT as USER_ABSENT, process::ReadMemory};

pub(super) const CONTEXT: &str = "opentelemetry.context";
pub(super) const CONTEXTVARS: &str = "opentelemetry.context.contextvars_context";
pub(super) const SPAN: &str = "opentelemetry.trace.span";
pub(super) const PROPAGATION: &str = "opentelemetry.trace.propagation";

const OTHER: &str = "OpenTelemetry's spans are not told: its context is not the one of contextvars";
const UNKNOWN: &str = "OpenTelemetry's spans are not told: they do not look as expected; please report this";

/// Where the span is.
pub(super) struct Spans {
    context_var: u64,
    context_var_hash: u32,
    span_key: u64,
    span_context_name: u64,
}

impl Spans {
    pub(super) fn tell(&self, attribution: &mut Attribution) {
        attribution.context_var = self.context_var;
        attribution.context_var_hash = self.context_var_hash;
        attribution.span_key = self.span_key;
        attribution.span_context_name = self.span_context_name;
    }
}

/// `None`: there is no OpenTelemetry, or it has not begun yet.
pub(super) fn find<M: ReadMemory>(view: &View<'_, M>) -> Result<Option<Spans>, &'static str> {
    let objects = &view.objects;
    let user = &objects.layout.user;
    let (Some(span_key), Some(runtime)) = (
        view.global(PROPAGATION, "_SPAN_KEY"),
        view.global(CONTEXT, "_RUNTIME_CONTEXT"),
    ) else {
        return Ok(None);
    };
    if runtime == view.target.known.none {
        return Ok(None);
    }
    if view.target.offsets.tstate_context == ABSENT || user.var_hash == USER_ABSENT {
        return Err(OTHER);
    }
    let class = view.global(CONTEXTVARS, "ContextVarsRuntimeContext");
    if class.is_none() || objects.type_of(runtime).ok() != class {
        return Err(OTHER);
    }
    let found = || {
        let init = view.class_attribute(class?, "__init__")?;
        let name = view.name_in(init, "_current_context")?;
        let slot = &mut Box::<Slot>::default();
        let context_var = attribute(slot, view.target, &mut Shared(objects.memory), runtime, name)?;
        let ty = objects.tp_name(objects.type_of(context_var).ok()?).ok()?;
        let is_var = ty == "ContextVar" || ty.ends_with(".ContextVar");
        let span = view.global(SPAN, "NonRecordingSpan")?;
        let span_context_name = view.name_in(view.class_attribute(span, "__init__")?, "_context")?;
        objects.string(span_key, super::MAX_NAME).ok()?;
        is_var.then_some(Spans {
            context_var,
            context_var_hash: hamt_hash(objects.user_field(context_var, user.var_hash).ok()?),
            span_key,
            span_context_name,
        })
    };
    found().map(Some).ok_or(UNKNOWN)
}
