//! Where an interpreter keeps the dicts of its static types (3.12+).
//!
//! The array `types.builtins` lies deep inside `PyInterpreterState`, behind structs that patch
//! releases may touch, and `_Py_DebugOffsets` does not tell its place. But each entry points
//! back to its type, and each static type holds its index: that says for sure where the array is.

use super::layout::{ABSENT, UserOffsets};
use super::objects::{Objects, tp_flags};
use crate::process::ReadMemory;

/// `PyInterpreterState` is smaller (about 0.4 MB).
const MAX_INTERPRETER: u64 = 1024 * 1024;
const BLOCK: u64 = 4096;

/// The table with the array's offset checked, or corrected where this build has it elsewhere.
/// `None`: it is not to be found. `types` are static builtin types, more than one.
pub(super) fn locate<M: ReadMemory>(objects: &Objects<'_, M>, types: &[u64]) -> Option<UserOffsets> {
    let mut user = objects.layout.user;
    if user.interp_builtin_types == ABSENT {
        return Some(user);
    }
    let indices: Vec<(u64, u64)> = types
        .iter()
        .filter(|ty| {
            objects
                .flags(**ty)
                .is_ok_and(|flags| flags & tp_flags::STATIC_BUILTIN != 0)
        })
        .filter_map(|ty| {
            Some((
                *ty,
                objects.user_field(*ty, user.tp_subclasses).ok()?.checked_sub(1)?,
            ))
        })
        .filter(|(_, index)| *index < 1024)
        .collect();
    let (first, first_index) = *indices.first()?;
    let size = u64::from(user.static_type_state_size);
    let fits = |offset: u64| {
        indices.len() > 1
            && indices.iter().all(|(ty, index)| {
                let state = objects.interp.wrapping_add(offset + index * size);
                objects.user_field(state, user.static_type_state_type) == Ok(*ty)
            })
    };
    let expected = u64::from(user.interp_builtin_types);
    if fits(expected) {
        return Some(user);
    }
    let entry = first_index * size + u64::from(user.static_type_state_type);
    let mut places = places_of(objects, first)
        .filter_map(|place| place.checked_sub(entry))
        .filter(|offset| fits(*offset));
    let found = u32::try_from(places.next()?).ok()?;
    if places.next().is_some() {
        return None;
    }
    // The array for extension modules follows in the same struct.
    if user.interp_extension_types != ABSENT {
        let between = user
            .interp_extension_types
            .checked_sub(user.interp_builtin_types)?;
        user.interp_extension_types = found + between;
    }
    user.interp_builtin_types = found;
    Some(user)
}

/// Offsets in the interpreter's state of every word that is `value`.
fn places_of<M: ReadMemory>(objects: &Objects<'_, M>, value: u64) -> impl Iterator<Item = u64> {
    (0..MAX_INTERPRETER)
        .step_by(BLOCK as usize)
        .map_while(move |block| {
            let at = objects.interp.wrapping_add(block);
            let bytes = objects.memory.read_bytes(at, BLOCK as usize).ok()?;
            Some((block, bytes))
        })
        .flat_map(move |(block, bytes)| {
            let words = bytes.chunks_exact(8).enumerate();
            let hits: Vec<u64> = words
                .filter(|(_, word)| **word == value.to_le_bytes())
                .map(|(n, _)| block + n as u64 * 8)
                .collect();
            hits
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpython::{Version, layout::Layout};
    use crate::process::ReadError;

    /// Memory from address 0x10000.
    struct Recorded(Vec<u8>);

    impl Recorded {
        fn put(&mut self, addr: u64, word: u64) {
            let at = addr as usize - 0x10000;
            self.0[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
    }

    impl ReadMemory for Recorded {
        fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
            let found = (addr as usize)
                .checked_sub(0x10000)
                .and_then(|at| self.0.get(at..at.checked_add(out.len())?));
            let error = ReadError { addr, len: out.len() };
            found.map(|bytes| out.copy_from_slice(bytes)).ok_or(error)
        }
    }

    const INTERP: u64 = 0x20000;
    const TYPES: [u64; 3] = [0x11000, 0x12000, 0x13000];

    fn with_array_at(layout: &Layout, offset: u64) -> Recorded {
        let mut memory = Recorded(vec![0; 0x100000]);
        for (index, ty) in TYPES.into_iter().enumerate() {
            memory.put(ty + u64::from(layout.offsets.tp_flags), tp_flags::STATIC_BUILTIN);
            memory.put(ty + u64::from(layout.user.tp_subclasses), index as u64 + 1);
            let state = offset + index as u64 * u64::from(layout.user.static_type_state_size);
            memory.put(INTERP + state + u64::from(layout.user.static_type_state_type), ty);
        }
        memory
    }

    fn located(layout: &Layout, memory: &Recorded) -> Option<UserOffsets> {
        let objects = Objects {
            memory,
            layout,
            interp: INTERP,
        };
        locate(&objects, &TYPES)
    }

    #[test]
    fn an_array_that_moved_is_found() {
        for minor in [12, 13] {
            let layout = Layout::of(Version::of_minor(3, minor), false).unwrap();
            let place = u64::from(layout.user.interp_builtin_types);
            for moved in [place, place + 264, place - 1024] {
                let memory = with_array_at(&layout, moved);
                let user = located(&layout, &memory).unwrap();
                assert_eq!(u64::from(user.interp_builtin_types), moved);
                if user.interp_extension_types != ABSENT {
                    assert_eq!(
                        user.interp_extension_types - user.interp_builtin_types,
                        layout.user.interp_extension_types - layout.user.interp_builtin_types
                    );
                }
            }
        }
    }

    #[test]
    fn no_array_or_two_are_refused() {
        let layout = Layout::of(Version::of_minor(3, 12), false).unwrap();
        assert!(located(&layout, &Recorded(vec![0; 0x100000])).is_none());
        let mut memory = with_array_at(&layout, 0x1000);
        for (index, ty) in TYPES.into_iter().enumerate() {
            memory.put(
                INTERP + 0x3000 + index as u64 * u64::from(layout.user.static_type_state_size),
                ty,
            );
        }
        assert!(located(&layout, &memory).is_none());
    }
}
