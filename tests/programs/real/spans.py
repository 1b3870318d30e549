"""Effects in OpenTelemetry's spans, nested, in threads and in asyncio's tasks: of each the program says which span is current."""
import asyncio
import contextvars
import itertools
import os
import threading

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from rounds import rounds

numbers = itertools.count()
told = []


class Ids(RandomIdGenerator):
    """Small and large ones."""

    few = itertools.count(1)

    def generate_span_id(self):
        number = next(self.few)
        return number if number % 3 == 0 else super().generate_span_id()

    def generate_trace_id(self):
        number = next(self.few)
        return number if number % 4 == 0 else super().generate_trace_id()


trace.set_tracer_provider(TracerProvider(id_generator=Ids()))
tracer = trace.get_tracer("tests")
variables = [contextvars.ContextVar("other-%d" % n) for n in range(200)]


def act():
    path = "/nonexistent/spans/%d" % next(numbers)
    try:
        os.unlink(path)
    except OSError:
        pass
    span = trace.get_current_span().get_span_context()
    ids = None
    if span.is_valid:
        ids = {"trace_id": "%032x" % span.trace_id, "span_id": "%016x" % span.span_id}
    told.append({"path": path, "trace": ids})


def nested(depth):
    act()
    if depth:
        with tracer.start_as_current_span("level %d" % depth):
            nested(depth - 1)
            act()
    act()


def remote():
    """A span of another process, of which there is the context only."""
    of = trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, is_remote=True)
    with trace.use_span(trace.NonRecordingSpan(of)):
        act()
        nested(1)
    with trace.use_span(trace.INVALID_SPAN):
        act()


def with_attributes():
    """A span whose attributes have moved to a dict."""
    with tracer.start_as_current_span("more") as span:
        act()
        span.__dict__["more"] = 1
        act()
        for number in range(50):
            setattr(span, "attribute_%d" % number, number)
        act()


def among_others():
    """The variable lies deep in the tree."""
    act()
    with tracer.start_as_current_span("outer"):
        for number, variable in enumerate(variables):
            variable.set(number)
            if number % 20 == 0:
                act()
        nested(2)
    act()


def with_keys():
    """OpenTelemetry's own context has more than the span."""
    token = context.attach(context.set_value("tenant", "t"))
    with tracer.start_as_current_span("keys"):
        inner = [context.attach(context.set_value("key-%d" % n, n)) for n in range(40)]
        act()
        for one in reversed(inner):
            context.detach(one)
    context.detach(token)
    act()


def everything():
    nested(4)
    remote()
    with_attributes()
    with_keys()
    contextvars.copy_context().run(among_others)


async def task(number):
    act()
    with tracer.start_as_current_span("task %d" % number):
        act()
        await asyncio.sleep(0)
        act()
        nested(2)
        await asyncio.sleep(0.001)
        act()
        loop = asyncio.get_running_loop()
        # Whose context is its own.
        await loop.run_in_executor(None, act)
        await loop.run_in_executor(None, contextvars.copy_context().run, act)
    act()


async def main():
    with tracer.start_as_current_span("request"):
        act()
        await asyncio.gather(*[task(n) for n in range(10)])
    act()


def work():
    threads = [threading.Thread(target=everything) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: asyncio.new_event_loop().run_until_complete(main())))
    for thread in threads:
        thread.start()
    everything()
    for thread in threads:
        thread.join()


rounds(work, told, each=True)
