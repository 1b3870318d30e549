//! A call with its values and names, ready to be printed.

use std::sync::Arc;

use tracer_common::wire::TypeRef;

use super::{SiteMeta, handle::NamedHandle};
use crate::{
    bytecode::Operands,
    catalogue::effects::From,
    decode::{
        names::{Code, Names},
        value::{Arguments, SequenceKind, Value},
    },
};

/// One call.
#[derive(Clone, Debug)]
pub struct CallEvent<'a> {
    pub id: u64,
    pub parent: Option<u64>,
    pub target: u16,
    pub pid: u32,
    pub tid: u32,
    /// Unix time of entry, nanoseconds.
    pub time_ns: u64,
    pub duration_ns: Option<u64>,
    pub meta: &'a SiteMeta,
    /// `module.qualname`, and how long its module part is.
    pub function: &'a str,
    pub module_len: usize,
    /// `group.name`.
    pub effect: &'static str,
    pub arguments: Arguments<'a>,
    pub outcome: Outcome<'a>,
    pub stack: Vec<Frame>,
    /// The file or socket that it is on.
    pub handle: Option<NamedHandle>,
    /// Calls that this one stands for: it was chosen by chance, one of so many.
    pub weight: u64,
    /// It was not chosen, but raised: its arguments are as they were when it did.
    pub late: bool,
    /// It is a run of a Python function, whose arguments by name are in `arguments.kwargs`.
    pub run: Option<Run>,
}

/// One run of a Python function: to its return, to a `yield`, or until an exception leaves it.
#[derive(Clone, Debug)]
pub struct Run {
    /// It goes on behind a `yield` or `await`.
    pub resumed: bool,
    /// By an exception that is thrown into it.
    pub thrown: bool,
    /// The run that began it, where that was seen.
    pub first: Option<u64>,
    /// `co_filename` and `co_firstlineno`.
    pub file: Arc<str>,
    pub line: u32,
}

/// How the call ended.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    Returned(Value<'a>),
    /// A Python function: it may go on later.
    Yielded(Value<'a>),
    Raised(Raised<'a>),
    Unobserved(&'a str),
}

/// An exception, made from what the interpreter held.
#[derive(Clone, Debug)]
pub struct Raised<'a> {
    /// `None`: not even the type is known.
    pub ty: Option<TypeRef>,
    /// The instance's address, if there was an instance already.
    pub id: Option<u64>,
    pub args: ExceptionArgs<'a>,
}

/// The `args` of an exception.
#[derive(Clone, Debug)]
pub enum ExceptionArgs<'a> {
    /// A tuple, `len` items in all.
    Items(Vec<Value<'a>>, u64),
    /// Something else, or not captured.
    Unknown,
}

/// One Python frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `None`: the code object was gone before it could be named.
    pub code: Option<Arc<Code>>,
    pub line: Option<u32>,
}

impl<'a> Raised<'a> {
    /// From type and value as the interpreter held them. Before 3.12 the value may still be what
    /// the exception is to be made from: nothing, its arguments as a tuple, or its only argument
    /// (`PyErr_NormalizeException`, Python/errors.c).
    pub fn new(ty: Value<'a>, value: Value<'a>) -> Self {
        let ty = match ty {
            Value::Type(ty) => Some(ty),
            _ => None,
        };
        match value {
            Value::Exception { ty, args, id } => Self {
                ty: Some(ty),
                id: Some(id),
                args: ExceptionArgs::of_tuple(*args),
            },
            Value::Null if ty.is_none() => Self {
                ty,
                id: None,
                args: ExceptionArgs::Unknown,
            },
            Value::Null | Value::None => Self {
                ty,
                id: None,
                args: ExceptionArgs::Items(Vec::new(), 0),
            },
            value @ Value::Sequence {
                kind: SequenceKind::Tuple,
                ..
            } => Self {
                ty,
                id: None,
                args: ExceptionArgs::of_tuple(value),
            },
            value => Self {
                ty,
                id: None,
                args: ExceptionArgs::Items(vec![value], 1),
            },
        }
    }
}

impl<'a> Raised<'a> {
    /// From the operands of a `raise`.
    pub fn of_operands(args: Vec<Value<'a>>) -> Self {
        let mut args = args.into_iter();
        match (args.next(), args.next()) {
            (Some(ty @ Value::Type(_)), value) => Self::new(ty, value.unwrap_or(Value::Null)),
            (Some(exception), _) => Self::new(Value::Null, exception),
            (None, _) => Self::new(Value::Null, Value::Null),
        }
    }
}

impl Raised<'_> {
    /// An exception that is no object yet has the arguments it is to be made with. Of three,
    /// `EnvironmentError` keeps the last, the file name, apart from its `args`
    /// (`EnvironmentError_init`, Objects/exceptions.c at v2.7.18; later versions raise objects).
    pub fn without_file_name(mut self, names: &mut TypeNames<'_>) -> Self {
        const WITH_FILE_NAME: [&str; 3] = [
            "exceptions.EnvironmentError",
            "exceptions.IOError",
            "exceptions.OSError",
        ];
        if let (Some(ty), None, ExceptionArgs::Items(items, len @ 3)) = (self.ty, self.id, &mut self.args)
            && WITH_FILE_NAME.contains(&&*names.of(ty))
        {
            items.truncate(2);
            *len = 2;
        }
        self
    }
}

impl<'a> ExceptionArgs<'a> {
    /// The `args` tuple of an exception object.
    pub fn of_tuple(value: Value<'a>) -> Self {
        match value {
            Value::Sequence { items, len, .. } => Self::Items(items, len),
            _ => Self::Unknown,
        }
    }
}

impl<'a> CallEvent<'a> {
    /// `module` of `module.qualname`.
    pub fn module(&self) -> &'a str {
        self.function.get(..self.module_len).unwrap_or_default()
    }

    /// `qualname` of `module.qualname`; the name of a bytecode.
    pub fn qualname(&self) -> &'a str {
        if self.module_len == 0 {
            return self.function;
        }
        self.function.get(self.module_len + 1..).unwrap_or(self.function)
    }

    /// What a bytecode works on, by what the formats call it; nothing for a call.
    pub fn operands(&self) -> impl Iterator<Item = (&'static str, &Value<'a>)> {
        let (object, names): (_, &[_]) = match self.meta.operands {
            None => ("", &[]),
            Some(Operands::Attribute) => ("object", &["name", "value"]),
            Some(Operands::Global | Operands::Read) => ("object", &["name", "value"]),
            Some(Operands::Item) => ("object", &["key", "value"]),
            Some(Operands::Slice) => ("object", &["start", "stop", "value"]),
            Some(Operands::Append) => ("object", &["value"]),
            Some(Operands::Print) => ("file", &["value"]),
            // It is the outcome.
            Some(Operands::Exception) => ("", &[]),
            Some(Operands::Exec) => ("", &["code"]),
            Some(Operands::Import) => ("", &["name", "from"]),
            Some(Operands::Newline) => ("file", &[]),
        };
        let given = names.iter().copied().zip(&self.arguments.args);
        let object = self.arguments.self_.as_ref().map(|value| (object, value));
        object
            .into_iter()
            .chain(given)
            .filter(|_| self.meta.operands.is_some())
    }

    /// A part of the event's target: an argument by place or name, or the result.
    pub fn part(&self, from: From) -> Option<&Value<'a>> {
        match from {
            From::Argument { position, name } => self.arguments.args.get(position).or_else(|| {
                let named = |key: &Value<'_>| key.text().is_some_and(|key| key == name);
                self.arguments
                    .kwargs
                    .iter()
                    .find(|(key, _)| named(key))
                    .map(|(_, value)| value)
            }),
            From::Last => match self.arguments.args.as_slice() {
                [_, .., last] if self.arguments.args.len() as u64 == self.arguments.args_len => Some(last),
                _ => None,
            },
            From::Result => match &self.outcome {
                Outcome::Returned(value) => Some(value),
                _ => None,
            },
            From::ResultItem(n) => match &self.outcome {
                Outcome::Returned(Value::Sequence { items, .. }) => {
                    items.get(n).filter(|item| !matches!(item, Value::None))
                }
                _ => None,
            },
        }
    }
}

/// Type names of one target, as the sinks ask for them.
pub struct TypeNames<'n> {
    pub names: &'n mut dyn Names,
    pub target: u16,
}

impl TypeNames<'_> {
    /// `module.qualname`; `?` where the type is gone.
    pub fn of(&mut self, ty: TypeRef) -> Arc<str> {
        self.names
            .type_name(self.target, ty)
            .unwrap_or_else(|| Arc::from("?"))
    }

    /// The `__name__` in the dict of a module of Python 2; `?` where the module is gone.
    pub fn of_module(&mut self, module: u64, dict: u64) -> Arc<str> {
        self.names
            .module_name(self.target, module, dict)
            .unwrap_or_else(|| Arc::from("?"))
    }
}
