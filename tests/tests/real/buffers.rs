//! What is read into a buffer is seen as it was put there, not as the buffer was before.

use tests::{Program, Tracer, assert_acts, calls, from_file, interpreters};

#[test]
fn what_calls_put_into_buffers_is_seen() {
    for python in interpreters() {
        let mut program = Program::real(&python, "buffers.py", &[]);
        let tracer = Tracer::attach(&program, &["-e", "file.read,net.recv"]);
        let acts = program.run();
        let trace = tracer.stop();
        assert_eq!(trace.summary["lost"], 0);
        assert_acts(&from_file(&trace.events, "buffers.py"), &acts);
        let said = acts.iter().filter(|act| act.get("filled").is_some()).count();
        let seen = calls(&trace.events);
        let seen = seen.iter().filter(|call| call.get("filled").is_some()).count();
        assert_eq!((seen, said > 10), (said, true), "{}", trace.python());
        assert!(program.end());
    }
}
