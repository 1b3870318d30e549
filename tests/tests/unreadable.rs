//! Memory that cannot be read when the call happens.

use tests::{Program, Tracer, calls, interpreters};

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_right() {
    for python in interpreters() {
        let mut program = Program::start(&python, "unreadable.py");
        let tracer = Tracer::attach(&program, &["-e", "none", "-f", "*operator.is_"]);
        let arguments = program.run().remove(0);
        let trace = tracer.stop();
        let calls = calls(&trace.events);
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0]["args"], arguments);
        assert_eq!(calls[0]["result"], false);
        assert_eq!(trace.summary["faults"], 2);
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end());
    }
}
