//! Which bytecodes have side effects of their own, and which function does the work in each version.

use super::opcodes::Opcodes;
use tracer_common::cookie::{COOKIE_REGISTERS, Convention, Register, SelfKind};

/// What the operands of a bytecode are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operands {
    /// Of an object: a name, and a value where there is one.
    Attribute,
    /// A name, and a value where there is one.
    Global,
    /// Of an object: a key, and a value where there is one.
    Item,
    /// Of a list: an item.
    Append,
    /// To a file: a value.
    Print,
    /// To a file: the end of a line.
    Newline,
    /// An exception, as the thread has it: its type and what it is made from, or itself.
    Exception,
    /// A module's name, and what is imported from it, where anything is.
    Import,
    /// Code, or its text.
    Exec,
    /// Of a sequence: the first and the last index of a slice, as C numbers, and a value where there is one.
    Slice,
    /// A name, and what was found by it.
    Read,
}

impl Operands {
    /// All of them, in numeric order; recordings have the numbers.
    pub const ALL: [Self; 11] = [
        Self::Attribute,
        Self::Global,
        Self::Item,
        Self::Append,
        Self::Print,
        Self::Newline,
        Self::Exception,
        Self::Import,
        Self::Exec,
        Self::Slice,
        Self::Read,
    ];

    /// Whether the bytecode may do its work by calls: what was read or raised calls nothing any more.
    pub fn may_call(self) -> bool {
        !matches!(self, Self::Exception | Self::Read)
    }

    /// Whether the first operand names the second.
    pub fn name_a_value(self) -> bool {
        matches!(self, Self::Attribute | Self::Global | Self::Item | Self::Read)
    }
}

/// A bytecode with a side effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in `opcode.h`.
    pub op: &'static str,
    /// `group.name`.
    pub effect: &'static str,
    pub operands: Operands,
    /// It is what the interpreter makes of a call of this function: its events are those of that call.
    pub function: Option<&'static str>,
    /// One of these does the work, whichever the handler calls.
    work: &'static [Work],
    /// The forms that do the work themselves (3.11+).
    pub(super) special: Option<Special>,
}

/// Specialised forms of a bytecode: they check their operands and do the work in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Special {
    pub forms: &'static [&'static str],
    /// Who gets the instruction when a check fails: the first that there is.
    pub general: &'static [&'static str],
    pub convention: Convention,
}

/// A function of the C API, and how its arguments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub function: &'static str,
    pub convention: Convention,
    pub self_kind: SelfKind,
    pub registers: [Register; COOKIE_REGISTERS],
}

impl Work {
    /// `f(object, key, value)`.
    const fn set(function: &'static str) -> Self {
        Self {
            function,
            convention: Convention::KeyValue,
            self_kind: SelfKind::Bound,
            registers: [
                Register::Rdi,
                Register::Rsi,
                Register::Rdx,
                Register::Rcx,
                Register::R8,
            ],
        }
    }

    /// `f(object, key)`.
    const fn delete(function: &'static str) -> Self {
        Self {
            convention: Convention::O,
            ..Self::set(function)
        }
    }

    /// The object is the dict of the module's globals, which nobody wants to read each time.
    const fn of_globals(self) -> Self {
        Self {
            self_kind: SelfKind::Module,
            ..self
        }
    }

    /// `f(object, start, stop, value)`, with C numbers.
    const fn set_slice(function: &'static str) -> Self {
        Self {
            convention: Convention::SliceValue,
            ..Self::set(function)
        }
    }

    /// `f(object, start, stop)`, with C numbers.
    const fn delete_slice(function: &'static str) -> Self {
        Self {
            convention: Convention::Slice,
            ..Self::set(function)
        }
    }

    /// `f(frame, code, globals, locals)`, which calls that function.
    const fn exec(function: &'static str) -> Self {
        Self {
            convention: Convention::O,
            self_kind: SelfKind::Module,
            ..Self::set(function)
        }
    }

    /// `f(value, file)`.
    const fn print(function: &'static str, convention: Convention) -> Self {
        Self {
            convention,
            registers: [
                Register::Rsi,
                Register::Rdi,
                Register::Rdx,
                Register::Rcx,
                Register::R8,
            ],
            ..Self::set(function)
        }
    }
}

/// The effect that is only traced when it is asked for by its own name: most of what Python code does begins with it.
pub const LOAD_GLOBAL: &str = "memory.load_global";
/// Whose work is known by what it calls in its turn.
pub(super) const EXEC_STMT: &str = "EXEC_STMT";
/// Python 2: a function that is not exported may do their work.
pub(super) const SLICES: [&str; 2] = ["STORE_SLICE", "DELETE_SLICE"];

/// All of them. Up to 3.12 deleting is setting to NULL (`PyObject_DelAttr` was a macro, Include/abstract.h).
/// What each handler calls: Python/ceval.c up to 3.11, Python/bytecodes.c after.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        op: "STORE_ATTR",
        effect: "memory.store_attr",
        operands: Operands::Attribute,
        function: None,
        work: &[Work::set("PyObject_SetAttr")],
        special: Some(Special {
            forms: &[
                "STORE_ATTR_INSTANCE_VALUE",
                "STORE_ATTR_SLOT",
                "STORE_ATTR_WITH_HINT",
            ],
            general: &["STORE_ATTR"],
            convention: Convention::StackAttribute,
        }),
    },
    Operation {
        op: "DELETE_ATTR",
        effect: "memory.delete_attr",
        operands: Operands::Attribute,
        function: None,
        work: &[Work::set("PyObject_SetAttr"), Work::delete("PyObject_DelAttr")],
        special: None,
    },
    Operation {
        op: "STORE_GLOBAL",
        effect: "memory.store_global",
        operands: Operands::Global,
        function: None,
        work: &[Work::set("PyDict_SetItem").of_globals()],
        special: None,
    },
    // `PyDict_Pop` from 3.13 on.
    Operation {
        op: "DELETE_GLOBAL",
        effect: "memory.delete_global",
        operands: Operands::Global,
        function: None,
        work: &[
            Work::delete("PyDict_DelItem").of_globals(),
            Work::delete("PyDict_Pop").of_globals(),
        ],
        special: None,
    },
    // Every form looks the name up by itself: see `bytecode::reads`.
    Operation {
        op: "LOAD_GLOBAL",
        effect: LOAD_GLOBAL,
        operands: Operands::Read,
        function: None,
        work: &[],
        special: None,
    },
    // Names of a module's body are its globals, those of a class's body its attributes; code may be run in any mapping.
    Operation {
        op: "STORE_NAME",
        effect: "memory.store_name",
        operands: Operands::Global,
        function: None,
        work: &[
            Work::set("PyDict_SetItem").of_globals(),
            Work::set("PyObject_SetItem").of_globals(),
        ],
        special: None,
    },
    Operation {
        op: "DELETE_NAME",
        effect: "memory.delete_name",
        operands: Operands::Global,
        function: None,
        work: &[Work::delete("PyObject_DelItem").of_globals()],
        special: None,
    },
    Operation {
        op: "STORE_SUBSCR",
        effect: "memory.store_item",
        operands: Operands::Item,
        function: None,
        work: &[Work::set("PyObject_SetItem")],
        special: Some(Special {
            forms: &["STORE_SUBSCR_DICT", "STORE_SUBSCR_LIST_INT"],
            general: &["STORE_SUBSCR"],
            convention: Convention::StackItem,
        }),
    },
    // `a[i:j] = x` without a slice object of its own on the stack: 3.12+, and Python 2, where `assign_slice` (Python/ceval.c) goes by
    // numbers if both are numbers and the type has such a slot.
    Operation {
        op: "STORE_SLICE",
        effect: "memory.store_item",
        operands: Operands::Item,
        function: None,
        work: &[Work::set("PyObject_SetItem")],
        special: None,
    },
    Operation {
        op: "STORE_SLICE",
        effect: "memory.store_item",
        operands: Operands::Slice,
        function: None,
        work: &[Work::set_slice("PySequence_SetSlice")],
        special: None,
    },
    Operation {
        op: "DELETE_SLICE",
        effect: "memory.delete_item",
        operands: Operands::Item,
        function: None,
        work: &[Work::delete("PyObject_DelItem")],
        special: None,
    },
    Operation {
        op: "DELETE_SLICE",
        effect: "memory.delete_item",
        operands: Operands::Slice,
        function: None,
        work: &[Work::delete_slice("PySequence_DelSlice")],
        special: None,
    },
    Operation {
        op: "DELETE_SUBSCR",
        effect: "memory.delete_item",
        operands: Operands::Item,
        function: None,
        work: &[Work::delete("PyObject_DelItem")],
        special: None,
    },
    Operation {
        op: "CALL_LIST_APPEND",
        effect: "memory.append",
        operands: Operands::Append,
        function: Some("builtins.list.append"),
        work: &[],
        special: Some(Special {
            forms: &[
                "CALL_LIST_APPEND",
                "CALL_NO_KW_LIST_APPEND",
                "PRECALL_NO_KW_LIST_APPEND",
            ],
            // 3.11 has both.
            general: &["PRECALL", "CALL"],
            convention: Convention::StackAppend,
        }),
    },
    // Python 2's print statement. `PRINT_ITEM_TO` and `PRINT_NEWLINE_TO` fall through to these.
    Operation {
        op: "PRINT_ITEM",
        effect: "console.print",
        operands: Operands::Print,
        function: None,
        work: &[Work::print("PyFile_WriteObject", Convention::O)],
        special: None,
    },
    // Python 2's exec statement: `exec_statement` (Python/ceval.c) is no exported function, but calls one that no other function of
    // the handler's does.
    Operation {
        op: EXEC_STMT,
        effect: "code.exec",
        operands: Operands::Exec,
        function: None,
        work: &[Work::exec("PyRun_StringFlags")],
        special: None,
    },
    // Not by a handler: see `bytecode::exported`, as the next one.
    Operation {
        op: "raise",
        effect: "exception.raised",
        operands: Operands::Exception,
        function: None,
        work: &[],
        special: None,
    },
    Operation {
        op: "import",
        effect: "import.name",
        operands: Operands::Import,
        function: None,
        work: &[],
        special: None,
    },
    Operation {
        op: "PRINT_NEWLINE",
        effect: "console.print",
        operands: Operands::Newline,
        function: None,
        work: &[Work::print("PyFile_WriteString", Convention::NoArgs)],
        special: None,
    },
];

impl Operation {
    /// The one with that name.
    pub fn find(op: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.op == op)
    }

    /// Whether that version has it, in any form.
    pub(super) fn is_in(&self, opcodes: &Opcodes) -> bool {
        let general = !self.work.is_empty() && opcodes.number(self.op).is_some();
        // Only in Python 2 slices are C numbers.
        let numbers = self.operands != Operands::Slice || opcodes.number(EXEC_STMT).is_some();
        let reads = self.operands == Operands::Read && opcodes.number(self.op).is_some();
        general && numbers || reads || self.forms(opcodes).next().is_some()
    }

    /// Whether that version's general form does the work.
    pub(super) fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// The specialised forms that a version has.
    pub(super) fn forms(&self, opcodes: &Opcodes) -> impl Iterator<Item = &'static str> {
        let forms = self.special.map_or(&[][..], |special| special.forms);
        forms
            .iter()
            .copied()
            .filter(|form| opcodes.number(form).is_some())
    }

    /// How the function with that name does the work.
    pub(super) fn work_of(&self, function: &str) -> Option<&'static Work> {
        self.work.iter().find(|work| work.function == function)
    }

    /// Whether an opcode is a form of it: itself, specialised, instrumented, or one that falls through to it.
    pub(super) fn has_form(&self, name: &str) -> bool {
        let name = name.strip_prefix("INSTRUMENTED_").unwrap_or(name);
        let rest = name.strip_prefix(self.op);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    }
}

/// All functions that do such work.
pub(super) fn functions() -> Vec<&'static str> {
    let work = OPERATIONS.iter().flat_map(|operation| operation.work);
    work.map(|work| work.function).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_their_names() {
        let store = Operation::find("STORE_ATTR").unwrap();
        for name in ["STORE_ATTR", "STORE_ATTR_SLOT", "INSTRUMENTED_STORE_ATTR"] {
            assert!(store.has_form(name), "{name}");
        }
        for name in ["STORE_GLOBAL", "STORE_ATTRIBUTE", "LOAD_ATTR"] {
            assert!(!store.has_form(name), "{name}");
        }
        assert_eq!(Operation::find("LOAD_FAST"), None);
    }
}
