//! From the records of a call to the event that is shown.

use std::sync::Arc;

use tracer_common::{
    activation::{RUN_RESUMED, RUN_THROWN, RUN_YIELDED},
    rate::MAX_SHIFT,
    wire::{FLAG_CUT, FLAG_LATE, FLAG_UNATTRIBUTED},
};

use super::{
    SiteMeta,
    call::{CallEvent, Frame, Outcome, Raised, Run, TypeNames},
    handle::NamedHandle,
    mask,
    naming::CallName,
    runs::full_name,
};
use crate::{
    bytecode::Operands,
    decode::{
        names::{FunctionName, Names},
        pair::{Call, End},
        record::Record,
        value::{Activation, Ending, Value, activation, arguments, ending, filled},
    },
};

/// How a call ended, and how long it took. `operands`: of a bytecode's site.
pub fn outcome(call: &Call, operands: Option<Operands>) -> (Outcome<'_>, Option<u64>) {
    match &call.end {
        End::Unobserved(_) if operands == Some(Operands::Exception) => {
            let raised = Raised::of_operands(arguments(call.entry.values()).args);
            (Outcome::Raised(raised), None)
        }
        End::Unobserved(why) => (Outcome::Unobserved(why), None),
        End::Seen(leave) => {
            let took = leave.header.time_ns.saturating_sub(call.entry.header.time_ns);
            (returned(leave), Some(took))
        }
    }
}

fn returned(leave: &Record) -> Outcome<'_> {
    let yields = activation(leave.values()).is_some_and(|run| run.flags & RUN_YIELDED != 0);
    match ending(leave.values()) {
        Some(Ending::Returned(value)) if yields => Outcome::Yielded(value),
        Some(Ending::Returned(value)) => Outcome::Returned(value),
        Some(Ending::Raised { ty, value }) => Outcome::Raised(Raised::new(ty, value)),
        None => Outcome::Returned(Value::Cut),
    }
}

/// The Python function of a run.
pub fn function(call: &Call, run: &Activation, names: &mut dyn Names) -> (Arc<FunctionName>, Run) {
    let target = call.entry.header.target;
    let frame = call.entry.frames().next();
    let name = frame.and_then(|frame| names.function(target, &frame, run));
    let code = frame.and_then(|frame| names.code(target, &frame));
    let unknown = || FunctionName {
        module: String::new(),
        qualname: "?".to_owned(),
    };
    let run = Run {
        resumed: run.flags & RUN_RESUMED != 0,
        thrown: run.flags & RUN_THROWN != 0,
        first: call.first,
        file: code.map_or_else(|| "?".into(), |code| code.file.as_str().into()),
        line: frame.map_or(0, |frame| frame.first_line),
    };
    (name.unwrap_or_else(|| Arc::new(unknown())), run)
}

/// What an event has that does not stand in the call's records, or was looked at before.
pub struct Shaping<'a> {
    pub meta: &'a SiteMeta,
    pub pid: u32,
    /// Unix time of entry, nanoseconds.
    pub time_ns: u64,
    /// Of [`outcome`].
    pub ended: (Outcome<'a>, Option<u64>),
    pub stack: Vec<Frame>,
    /// Of [`function`], for a run.
    pub function: Option<(Arc<FunctionName>, Run)>,
    /// Values of variables and arguments whose names say that they are secret are shown.
    pub show_secrets: bool,
}

impl<'a> Shaping<'a> {
    /// Hands the event over. `None`: the call is not wanted under its name, or no act.
    pub fn event<T>(
        self,
        call: &'a Call,
        names: &mut TypeNames<'_>,
        then: impl FnOnce(&CallEvent<'_>, &mut TypeNames<'_>) -> T,
    ) -> Option<T> {
        let Self { meta, .. } = self;
        let header = call.entry.header;
        let mut arguments = arguments(call.entry.values());
        arguments.cut = header.flags & FLAG_CUT != 0;
        arguments.attribution.unknown = header.flags & FLAG_UNATTRIBUTED != 0;
        if let End::Seen(leave) = &call.end {
            arguments.filled = filled(leave.values());
        }
        let name = match &self.function {
            Some((name, _)) => CallName {
                function: full_name(&name.module, &name.qualname).into(),
                module_len: name.module.len(),
                effect: meta.effect,
                wanted: meta.wanted,
            },
            None => meta.name_call(&mut arguments, names),
        };
        if !name.wanted || !meta.is_act(&arguments) {
            return None;
        }
        let (outcome, duration_ns) = self.ended;
        let mut outcome = match outcome {
            Outcome::Raised(raised) => Outcome::Raised(raised.without_file_name(names)),
            other => other,
        };
        let weight = match outcome {
            // All that raise come.
            Outcome::Raised(_) => 1,
            _ => 1 << u32::from(header.weight_log2).min(MAX_SHIFT),
        };
        let handle = NamedHandle::new(&arguments, meta.handle, names);
        if !self.show_secrets {
            mask::call(&name.function, name.effect, &mut arguments, &mut outcome);
            if let Some(operands) = meta.operands {
                mask::stored(operands, &mut arguments);
            }
        }
        let event = CallEvent {
            function: &name.function,
            module_len: name.module_len,
            effect: name.effect,
            id: call.id,
            parent: call.parent,
            target: header.target,
            pid: self.pid,
            tid: header.tid,
            time_ns: self.time_ns,
            duration_ns,
            meta,
            arguments,
            outcome,
            stack: self.stack,
            handle,
            weight,
            late: header.flags & FLAG_LATE != 0,
            run: self.function.map(|(_, run)| run),
        };
        Some(then(&event, names))
    }
}
