//! What a key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Drill, Model, Order, View};

/// Rows of a page.
const PAGE: usize = 15;
/// Characters of a filter at most.
const FILTER: usize = 60;

/// What is to be done besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Nothing,
    Quit,
}

/// Takes a key.
pub fn press(model: &mut Model, key: KeyEvent) -> Act {
    if key.kind == KeyEventKind::Release {
        return Act::Nothing;
    }
    // It was read.
    model.message = None;
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Act::Quit,
            KeyCode::Char('u') if model.typing => {
                model.filter.clear();
                model.arrange();
                Act::Nothing
            }
            _ => Act::Nothing,
        };
    }
    if model.typing {
        type_filter(model, key.code);
        return Act::Nothing;
    }
    let act = act(model, key.code);
    model.arrange();
    act
}

fn type_filter(model: &mut Model, code: KeyCode) {
    match code {
        KeyCode::Enter => model.typing = false,
        KeyCode::Esc => {
            model.typing = false;
            model.filter.clear();
        }
        KeyCode::Backspace => {
            model.filter.pop();
        }
        KeyCode::Char(c) if model.filter.chars().count() < FILTER => model.filter.push(c),
        _ => {}
    }
    model.arrange();
}

fn act(model: &mut Model, code: KeyCode) -> Act {
    let last = model.rows.len().saturating_sub(1);
    match code {
        KeyCode::Char('q') => return Act::Quit,
        KeyCode::Char('?' | 'h') => model.help = !model.help,
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if model.help => model.help = false,
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if model.drill.is_some() => {
            model.drill = None;
        }
        KeyCode::Esc => model.filter.clear(),
        KeyCode::Char('p' | ' ') => model.paused = !model.paused,
        KeyCode::Char('a') => model.since_start = !model.since_start,
        KeyCode::Char('/') if model.drill.is_none() => model.typing = true,
        KeyCode::Char('1') => model.view = View::Sites,
        KeyCode::Char('2') => model.view = View::Effects,
        KeyCode::Char('3') => model.view = View::Processes,
        KeyCode::Char('4') => model.view = View::Targets,
        KeyCode::Tab => model.view = next(&View::ALL, model.view),
        KeyCode::Char('s') => model.order = next(&Order::ALL, model.order),
        KeyCode::Char('c') => model.order = Order::Calls,
        KeyCode::Char('e') => model.order = Order::Errors,
        KeyCode::Char('t') => model.order = Order::Time,
        KeyCode::Char('m') => model.order = Order::Max,
        KeyCode::Char('b') => model.order = Order::Bytes,
        KeyCode::Up | KeyCode::Char('k') => model.selected = model.selected.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => model.selected = (model.selected + 1).min(last),
        KeyCode::PageUp => model.selected = model.selected.saturating_sub(PAGE),
        KeyCode::PageDown => model.selected = (model.selected + PAGE).min(last),
        KeyCode::Home => model.selected = 0,
        KeyCode::End => model.selected = last,
        KeyCode::Enter | KeyCode::Right if model.drill.is_none() => enter(model),
        _ => {}
    }
    Act::Nothing
}

/// Goes into the selected row: the call sites of an effect or a process, or one call site.
fn enter(model: &mut Model) {
    let Some(row) = model.rows.get(model.selected) else {
        return;
    };
    match &row.site {
        Some(site) => {
            model.drill = Some(Drill {
                site: site.clone(),
                ..Drill::default()
            });
        }
        None if model.view == View::Targets => {}
        None => {
            model.filter = row.name.split(' ').next().unwrap_or_default().to_owned();
            model.view = View::Sites;
            model.selected = 0;
        }
    }
}

fn next<T: Copy + PartialEq>(all: &[T], now: T) -> T {
    let at = all.iter().position(|one| *one == now).unwrap_or(0);
    all[(at + 1) % all.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(model: &mut Model, codes: &[KeyCode]) -> Act {
        let mut last = Act::Nothing;
        for code in codes {
            last = press(model, KeyEvent::new(*code, KeyModifiers::NONE));
        }
        last
    }

    #[test]
    fn a_filter_is_typed_and_taken_back() {
        let mut model = Model::default();
        let c = KeyCode::Char;
        type_in(&mut model, &[c('/'), c('q'), c('p'), c('x'), KeyCode::Backspace]);
        assert!(model.typing && !model.paused);
        assert_eq!(model.filter, "qp");
        type_in(&mut model, &[KeyCode::Enter]);
        assert!(!model.typing);
        assert_eq!(type_in(&mut model, &[KeyCode::Esc]), Act::Nothing);
        assert_eq!(model.filter, "");
        assert_eq!(type_in(&mut model, &[c('q')]), Act::Quit);
    }

    #[test]
    fn keys_choose_what_is_shown() {
        let mut model = Model::default();
        let c = KeyCode::Char;
        type_in(&mut model, &[KeyCode::Tab, c('e'), c('a'), c('p'), KeyCode::Down]);
        assert_eq!((model.view, model.order), (View::Effects, Order::Errors));
        assert!(model.since_start && model.paused);
        assert_eq!(model.selected, 0);
        // There is no row to go into.
        assert_eq!(type_in(&mut model, &[KeyCode::Enter]), Act::Nothing);
        let control_c = KeyEvent::new(c('c'), KeyModifiers::CONTROL);
        model.typing = true;
        assert_eq!(press(&mut model, control_c), Act::Quit);
    }
}
