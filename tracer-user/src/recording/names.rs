//! The names of a recording.

use std::{collections::HashMap, sync::Arc};

use tracer_common::wire::{FrameRecord, TypeRef};

use super::item::{CodeItem, FileItem, FunctionItem, ModuleItem, ThreadItem, TypeItem};
use crate::decode::{
    handle::FileId,
    names::{Code, FunctionName, Names},
    value::Activation,
};

/// Names read so far.
#[derive(Default)]
pub struct RecordedNames {
    types: HashMap<(u16, TypeRef), Arc<str>>,
    modules: HashMap<(u16, u64, u64), Arc<str>>,
    codes: HashMap<(u16, u64, u64), Arc<Code>>,
    functions: HashMap<(u16, u64, u64), Arc<FunctionName>>,
    threads: HashMap<(u16, u32), Arc<str>>,
    files: HashMap<(u16, FileId), Arc<str>>,
}

impl RecordedNames {
    /// Forgets a process, whose index is free again.
    pub fn remove(&mut self, target: u16) {
        self.types.retain(|(of, _), _| *of != target);
        self.modules.retain(|(of, ..), _| *of != target);
        self.codes.retain(|(of, ..), _| *of != target);
        self.functions.retain(|(of, ..), _| *of != target);
        self.threads.retain(|(of, _), _| *of != target);
        self.files.retain(|(of, _), _| *of != target);
    }

    /// Takes in the name of a type.
    pub fn add_type(&mut self, TypeItem(target, address, fingerprint, name): TypeItem) {
        let of = TypeRef { address, fingerprint };
        self.types.insert((target, of), name.into());
    }

    /// Takes in the name of a module.
    pub fn add_module(&mut self, ModuleItem(target, module, dict, name): ModuleItem) {
        self.modules.insert((target, module, dict), name.into());
    }

    /// Takes in the name of a thread.
    pub fn add_thread(&mut self, ThreadItem(target, tid, name): ThreadItem) {
        self.threads.insert((target, tid), name.into());
    }

    /// Takes in the path of an open file.
    pub fn add_file(&mut self, FileItem(target, inode, generation, device, name, path): FileItem) {
        let id = FileId {
            inode,
            generation,
            device,
            name,
        };
        self.files.insert((target, id), path.into());
    }

    /// Takes in the name of a Python function.
    pub fn add_function(&mut self, FunctionItem(target, code, fingerprint, module, qualname): FunctionItem) {
        let name = FunctionName { module, qualname };
        self.functions.insert((target, code, fingerprint), Arc::new(name));
    }

    /// Takes in a code object.
    pub fn add_code(&mut self, item: CodeItem) {
        let key = (item.target, item.address, item.fingerprint);
        self.codes.insert(key, Arc::new(item.into_code()));
    }
}

impl Names for RecordedNames {
    fn type_name(&mut self, target: u16, of: TypeRef) -> Option<Arc<str>> {
        self.types.get(&(target, of)).cloned()
    }

    fn module_name(&mut self, target: u16, module: u64, dict: u64) -> Option<Arc<str>> {
        self.modules.get(&(target, module, dict)).cloned()
    }

    fn code(&mut self, target: u16, frame: &FrameRecord) -> Option<Arc<Code>> {
        self.codes.get(&(target, frame.code, frame.fingerprint)).cloned()
    }

    fn function(&mut self, target: u16, frame: &FrameRecord, _: &Activation) -> Option<Arc<FunctionName>> {
        self.functions
            .get(&(target, frame.code, frame.fingerprint))
            .cloned()
    }

    fn thread_name(&mut self, target: u16, tid: u32) -> Option<Arc<str>> {
        self.threads.get(&(target, tid)).cloned()
    }

    fn file(&mut self, target: u16, _: u32, id: FileId) -> Option<Arc<str>> {
        self.files.get(&(target, id)).cloned()
    }
}
