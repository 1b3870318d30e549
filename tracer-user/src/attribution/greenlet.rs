//! greenlet's greenlets.
//!
//! Which one runs is in a C++ `thread_local` of the extension module (`g_thread_state_global`, src/greenlet/greenlet.cpp at 2.0.0,
//! TThreadStateDestroy.cpp from 3.0.0 on): where each thread has that, the module's table of relocations says. Should it be anything else that is found
//! there, it is no object of that type, and the kernel half tells none.

use object::{Object as _, ObjectSymbol as _, RelocationFlags, SymbolKind, elf::R_X86_64_DTPMOD64};
use tracer_common::attribution::Attribution;

use super::View;
use crate::{
    cpython::{ElfBytes, load_bias},
    process::ReadMemory,
};

pub(super) const MODULE: &str = "greenlet._greenlet";

const TYPE: &str = "greenlet.greenlet";
/// How the variable's name ends, which is mangled; builds of 2.0 without standard threads have a pointer by a longer name, which is not followed.
const STATE: &str = "g_thread_state_global";
/// All symbols of a file are looked at; it has some hundred.
const MAX_SYMBOLS: usize = 1 << 16;
const MAX_RELOCATIONS: usize = 1 << 16;

const UNKNOWN: &str =
    "which greenlet a call belongs to is not told: this greenlet does not keep it as versions from 2 on do";

/// Where the state is.
pub(super) struct Greenlets {
    ty: u64,
    module: u64,
    state: u64,
}

impl Greenlets {
    pub(super) fn tell(&self, attribution: &mut Attribution) {
        attribution.greenlet_type = self.ty;
        attribution.greenlet_module = self.module;
        attribution.greenlet_state = self.state;
    }
}

/// `None`: there is no greenlet (yet).
pub(super) fn find<M: ReadMemory>(view: &View<'_, M>) -> Result<Option<Greenlets>, &'static str> {
    if !view.modules.contains_key(MODULE) {
        return Ok(None);
    }
    // A module that has not been executed yet has nothing.
    let Some(ty) = view.global(MODULE, "greenlet") else {
        return Ok(None);
    };
    let found = || {
        if view.objects.tp_name(ty).ok()? != TYPE {
            return None;
        }
        let (module, state) = storage(view, ty)?;
        Some(Greenlets { ty, module, state })
    };
    found().map(Some).ok_or(UNKNOWN)
}

/// The number of the module's thread-local storage, and the variable's offset in it.
fn storage<M: ReadMemory>(view: &View<'_, M>, ty: u64) -> Option<(u64, u64)> {
    let objects = &view.objects;
    let user = &objects.layout.user;
    let switch = view.class_attribute(ty, "switch")?;
    let switch = objects.user_field(switch, user.d_method).ok()?;
    let function = objects.user_field(switch, user.ml_meth).ok()?;
    let (mapping, _) = view.process.locate(function)?;
    let file = ElfBytes::new(view.process.open_mapping(mapping).ok()?);
    let elf = file.elf()?;
    let bias = load_bias(&elf, mapping)?;
    let mut symbols = elf.symbols().take(MAX_SYMBOLS);
    let variable = symbols.find(|symbol| {
        symbol.kind() == SymbolKind::Tls && symbol.name().is_ok_and(|name| name.ends_with(STATE))
    })?;
    let is_module = RelocationFlags::Elf {
        r_type: R_X86_64_DTPMOD64,
    };
    let mut relocations = elf.dynamic_relocations()?.take(MAX_RELOCATIONS);
    let (at, _) = relocations.find(|(_, relocation)| relocation.flags() == is_module)?;
    let slot = at.wrapping_add(bias);
    let module = objects.memory.read_u64(slot).ok()?;
    // Where code of this file looks: the beginning of its storage, or the variable.
    let offset = objects.memory.read_u64(slot.checked_add(8)?).ok()?;
    let state = variable.address();
    (module != 0 && (offset == 0 || offset == state)).then_some((module, state))
}
