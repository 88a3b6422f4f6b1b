/* Streams, events and graphs. All work is a node that waits for other nodes; a stream is the
 * last of its nodes, an event is one of them, a graph is nodes not yet made. */
#include "tests/simt/stream.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <cuda_runtime_api.h>

#include "tests/simt/fail.h"
#include "tests/simt/plant.h"
#include "tests/simt/simt.h"

namespace {

struct Node {
    std::function<void()> work;
    std::vector<std::shared_ptr<Node>> after;
    bool done;
    double when; /* milliseconds */
};
typedef std::shared_ptr<Node> NodeRef;

struct Step { /* of a graph */
    std::function<void()> work;
    std::vector<size_t> after;
};

} // namespace

struct CUgraph_st {
    std::vector<Step> steps;
};
struct CUgraphExec_st {
    std::vector<Step> steps;
};

namespace {

struct Capture {
    std::unique_ptr<CUgraph_st> graph;
    cudaStream_t origin;
    std::thread::id thread; /* that began it */
    cudaStreamCaptureMode mode;
    bool broken;

    bool is_ours() const { return thread == std::this_thread::get_id(); }
};

} // namespace

struct CUstream_st {
    long number;   /* streams made before it */
    bool blocking; /* ordered with the legacy stream */
    NodeRef last;
    std::vector<NodeRef> waits; /* for the next node */
    std::shared_ptr<Capture> capture;
    std::vector<size_t> tail; /* steps that the next one follows */
};
struct CUevent_st {
    bool timed;
    NodeRef node;
    std::shared_ptr<Capture> capture;
    std::vector<size_t> tail;
};

namespace {

std::vector<NodeRef> pending;
std::vector<cudaStream_t> streams;
long streams_made;
int captures_to_break;
CUstream_st legacy = {-1, true, nullptr, {}, nullptr, {}};

bool deferred()
{
    static const char *text = std::getenv("SIMT_DEFER");
    return text && text[0] == '1';
}

bool is_ready(const NodeRef &n)
{
    return std::all_of(n->after.begin(), n->after.end(), [](const NodeRef &a) { return a->done; });
}

double now_ms()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

void run_one()
{
    std::vector<size_t> can;
    for (size_t i = 0; i < pending.size(); i++)
        if (is_ready(pending[i])) can.push_back(i);
    if (can.empty()) simt::fail("work of streams waits for itself");
    const unsigned count = static_cast<unsigned>(can.size());
    const size_t pick = simt::seed() == 0 ? 0 : simt::seed() == 1 ? count - 1 : simt::random_below(count);
    const NodeRef n = pending[can[pick]];
    pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(can[pick]));
    n->work();
    n->when = now_ms();
    n->done = true;
    n->work = nullptr;
    n->after.clear();
}

void wait_for(const NodeRef &n)
{
    while (n && !n->done) run_one();
}

void follow(const NodeRef &n, const NodeRef &before)
{
    if (before && !before->done) n->after.push_back(before);
}

void submit(const NodeRef &n)
{
    pending.push_back(n);
    if (!deferred()) simt::drain();
}

cudaStream_t stream_of(cudaStream_t s)
{
    if (!s) return &legacy;
    return std::find(streams.begin(), streams.end(), s) == streams.end() ? nullptr : s;
}

NodeRef next_node(cudaStream_t s, std::function<void()> work)
{
    NodeRef n = std::make_shared<Node>(Node{std::move(work), {}, false, 0});
    follow(n, s->last);
    for (const NodeRef &w : s->waits) follow(n, w);
    s->waits.clear();
    if (s == &legacy) {
        for (cudaStream_t other : streams)
            if (other->blocking) follow(n, other->last);
    } else if (s->blocking) {
        follow(n, legacy.last);
    }
    s->last = n;
    return n;
}

bool captures_blocking()
{
    return std::any_of(streams.begin(), streams.end(), [](cudaStream_t s) { return s->capture && s->blocking; });
}

/* Captures that end by a mistake of this host thread. */
void break_captures()
{
    for (cudaStream_t s : streams)
        if (s->capture && (s->capture->is_ours() || s->capture->mode == cudaStreamCaptureModeGlobal)) s->capture->broken = true;
}

/* Waiting is not allowed on a stream that captures. */
cudaError_t refuse_capturing(cudaStream_t s)
{
    if (!s->capture && !(s == &legacy && captures_blocking())) return cudaSuccess;
    if (s->capture) s->capture->broken = true;
    break_captures();
    return s->capture ? cudaErrorStreamCaptureUnsupported : cudaErrorStreamCaptureImplicit;
}

cudaError_t enqueue_work(cudaStream_t s, std::function<void()> work)
{
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->capture) {
        if (s->capture->broken) return cudaErrorStreamCaptureInvalidated;
        std::vector<Step> &steps = s->capture->graph->steps;
        steps.push_back({std::move(work), s->tail});
        s->tail = {steps.size() - 1};
        return cudaSuccess;
    }
    if (const cudaError_t e = refuse_capturing(s)) return e;
    submit(next_node(s, std::move(work)));
    return cudaSuccess;
}

void nothing() {}

cudaError_t note(cudaError_t e) { return static_cast<cudaError_t>(simt::note_error(e)); }

/* Is every step an ancestor of the tail? */
bool joined(const CUgraph_st &g, const std::vector<size_t> &tail)
{
    std::vector<bool> reached(g.steps.size());
    for (size_t t : tail) reached[t] = true;
    for (size_t i = g.steps.size(); i-- > 0;)
        if (reached[i])
            for (size_t a : g.steps[i].after) reached[a] = true;
    return std::find(reached.begin(), reached.end(), false) == reached.end();
}

cudaError_t wait_event(cudaStream_t s, cudaEvent_t event)
{
    if (!s || !event) return cudaErrorInvalidResourceHandle;
    if (event->capture) {
        if (!event->capture->graph) return cudaErrorCapturedEvent;
        if (s->capture && s->capture != event->capture) return cudaErrorStreamCaptureIsolation;
        if (s == &legacy) return cudaErrorStreamCaptureImplicit;
        s->capture = event->capture;
        for (size_t t : event->tail)
            if (std::find(s->tail.begin(), s->tail.end(), t) == s->tail.end()) s->tail.push_back(t);
        return cudaSuccess;
    }
    if (s->capture) {
        s->capture->broken = true;
        return cudaErrorStreamCaptureIsolation;
    }
    if (event->node) s->waits.push_back(event->node);
    return cudaSuccess;
}

/* A planted fault: two steps in each other's place. */
void exchange(std::vector<Step> &steps)
{
    const long first = simt::plant_number("capture");
    if (first >= 0 && static_cast<size_t>(first) + 1 < steps.size())
        std::swap(steps[static_cast<size_t>(first)].work, steps[static_cast<size_t>(first) + 1].work);
}

cudaError_t end_capture(cudaStream_t s, cudaGraph_t *graph)
{
    *graph = nullptr;
    if (!s || !s->capture) return cudaErrorInvalidValue;
    const std::shared_ptr<Capture> c = s->capture;
    if (c->origin != s) return cudaErrorStreamCaptureUnmatched;
    if (!c->is_ours() && c->mode != cudaStreamCaptureModeRelaxed) return cudaErrorStreamCaptureWrongThread;
    const bool whole = joined(*c->graph, s->tail);
    for (cudaStream_t other : streams) {
        if (other->capture != c) continue;
        other->capture = nullptr;
        other->tail.clear();
    }
    if (c->broken || !whole) {
        c->graph = nullptr;
        return c->broken ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined;
    }
    exchange(c->graph->steps);
    *graph = c->graph.release();
    simt::count_resource(simt::GRAPHS, 1);
    return cudaSuccess;
}

} // namespace

/* ThreadSanitizer's, where it is linked: what happens between is not looked at, and orders nothing. */
extern "C" {
void AnnotateIgnoreSyncBegin(const char *, int) __attribute__((weak));
void AnnotateIgnoreSyncEnd(const char *, int) __attribute__((weak));
void AnnotateIgnoreReadsBegin(const char *, int) __attribute__((weak));
void AnnotateIgnoreReadsEnd(const char *, int) __attribute__((weak));
void AnnotateIgnoreWritesBegin(const char *, int) __attribute__((weak));
void AnnotateIgnoreWritesEnd(const char *, int) __attribute__((weak));
}

namespace simt {

namespace {

std::recursive_mutex turn;
std::atomic<int> waiting;
unsigned turns;

} // namespace

Hold::Hold()
{
    if (AnnotateIgnoreSyncBegin) {
        AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    }
    if (turn.try_lock()) return;
    waiting++;
    turn.lock();
    waiting--;
}

Hold::~Hold()
{
    const bool yields = ++turns % 512 == 0 && waiting;
    turn.unlock();
    if (yields) std::this_thread::yield();
    if (AnnotateIgnoreSyncEnd) {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
        AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
    }
}

int enqueue(void *stream, std::function<void()> work)
{
    return enqueue_work(stream_of(static_cast<cudaStream_t>(stream)), std::move(work));
}

void drain()
{
    while (!pending.empty()) run_one();
}

int synchronize()
{
    bool capturing = false;
    for (cudaStream_t s : streams)
        if (s->capture) capturing = s->capture->broken = true;
    if (capturing) return cudaErrorStreamCaptureUnsupported;
    drain();
    return cudaSuccess;
}

bool capture_forbids()
{
    const bool strict = std::any_of(streams.begin(), streams.end(), [](cudaStream_t s) {
        const Capture *c = s->capture.get();
        return c && (c->mode == cudaStreamCaptureModeGlobal || (c->mode == cudaStreamCaptureModeThreadLocal && c->is_ours()));
    });
    if (strict) break_captures();
    return strict;
}

} // namespace simt

cudaError_t cudaDeviceSynchronize(void)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    return note(static_cast<cudaError_t>(simt::synchronize()));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    if (!stream || (flags & ~unsigned(cudaStreamNonBlocking))) return note(cudaErrorInvalidValue);
    *stream = new CUstream_st{streams_made++, !(flags & cudaStreamNonBlocking), nullptr, {}, nullptr, {}};
    streams.push_back(*stream);
    simt::count_resource(simt::STREAMS, 1);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

/* Work already given to the stream still runs. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    const simt::Hold hold;
    const auto it = std::find(streams.begin(), streams.end(), stream);
    if (it == streams.end()) return note(cudaErrorInvalidResourceHandle);
    if (stream->capture) stream->capture->broken = true;
    streams.erase(it);
    delete stream;
    simt::count_resource(simt::STREAMS, -1);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    cudaStream_t s = stream_of(stream);
    if (!s) return note(cudaErrorInvalidResourceHandle);
    if (const cudaError_t e = refuse_capturing(s)) return note(e);
    submit(next_node(s, nothing));
    wait_for(s->last);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    const simt::Hold hold;
    cudaStream_t s = stream_of(stream);
    if (!s) return note(cudaErrorInvalidResourceHandle);
    if (const cudaError_t e = refuse_capturing(s)) return note(e);
    return !s->last || s->last->done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    if (stream && simt::planted("wait", stream->number)) return cudaSuccess;
    return note(wait_event(stream_of(stream), event));
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *user)
{
    const simt::Hold hold;
    if (!fn) return note(cudaErrorInvalidValue);
    return note(enqueue_work(stream_of(stream), [fn, user] { fn(user); }));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    if (!event) return note(cudaErrorInvalidValue);
    *event = new CUevent_st{!(flags & cudaEventDisableTiming), nullptr, nullptr, {}};
    simt::count_resource(simt::EVENTS, 1);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    cudaStream_t s = stream_of(stream);
    if (!s || !event) return note(cudaErrorInvalidResourceHandle);
    event->node = nullptr;
    event->capture = s->capture;
    event->tail = s->tail;
    if (s->capture) return cudaSuccess;
    const cudaError_t e = enqueue_work(s, nothing);
    if (!e) event->node = s->last;
    return note(e);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    if (!event) return note(cudaErrorInvalidResourceHandle);
    if (event->capture) return note(cudaErrorCapturedEvent);
    if (!simt::planted("sync", 0L)) wait_for(event->node);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    const simt::Hold hold;
    if (!event) return note(cudaErrorInvalidResourceHandle);
    if (event->capture) return note(cudaErrorCapturedEvent);
    return !event->node || event->node->done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    const simt::Hold hold;
    if (!ms || !start || !end || !start->timed || !end->timed || !start->node || !end->node)
        return note(cudaErrorInvalidResourceHandle);
    if (!start->node->done || !end->node->done) return cudaErrorNotReady;
    *ms = static_cast<float>(end->node->when - start->node->when);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    const simt::Hold hold;
    if (!event) return note(cudaErrorInvalidResourceHandle);
    delete event;
    simt::count_resource(simt::EVENTS, -1);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    cudaStream_t s = stream_of(stream);
    if (!s) return note(cudaErrorInvalidResourceHandle);
    if (s == &legacy) return note(cudaErrorStreamCaptureUnsupported);
    if (s->capture) return note(cudaErrorInvalidValue);
    s->capture = std::make_shared<Capture>(
        Capture{std::unique_ptr<CUgraph_st>(new CUgraph_st), s, std::this_thread::get_id(), mode, false});
    s->tail.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    const simt::Hold hold;
    if (!graph) return note(cudaErrorInvalidValue);
    if (simt::call_fails() || (captures_to_break > 0 && captures_to_break--)) break_captures();
    return note(end_capture(stream_of(stream), graph));
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    const simt::Hold hold;
    cudaStream_t s = stream_of(stream);
    if (!s || !status) return note(cudaErrorInvalidValue);
    *status = !s->capture          ? cudaStreamCaptureStatusNone
              : s->capture->broken ? cudaStreamCaptureStatusInvalidated
                                   : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    if (!exec || !graph) return note(cudaErrorInvalidValue);
    *exec = new CUgraphExec_st{graph->steps};
    simt::count_resource(simt::GRAPHS, 1);
    return cudaSuccess;
}

/* Nodes keep the order of the capture and no other; the stream goes on when all are done. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    const simt::Hold hold;
    if (simt::call_fails()) return note(cudaErrorUnknown);
    cudaStream_t s = stream_of(stream);
    if (!exec || !s) return note(cudaErrorInvalidResourceHandle);
    if (const cudaError_t e = refuse_capturing(s)) return note(e);
    const NodeRef start = next_node(s, nothing);
    std::vector<NodeRef> nodes;
    for (const Step &step : exec->steps) {
        NodeRef n = std::make_shared<Node>(Node{step.work, {start}, false, 0});
        for (size_t a : step.after) n->after.push_back(nodes[a]);
        nodes.push_back(n);
    }
    const NodeRef end = next_node(s, nothing);
    end->after.insert(end->after.end(), nodes.begin(), nodes.end());
    pending.push_back(start);
    pending.insert(pending.end(), nodes.begin(), nodes.end());
    submit(end);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    const simt::Hold hold;
    if (!exec) return note(cudaErrorInvalidValue);
    delete exec;
    simt::count_resource(simt::GRAPHS, -1);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    const simt::Hold hold;
    if (!graph) return note(cudaErrorInvalidValue);
    delete graph;
    simt::count_resource(simt::GRAPHS, -1);
    return cudaSuccess;
}

extern "C" void simt_break_captures(int n)
{
    const simt::Hold hold;
    captures_to_break = n;
}
