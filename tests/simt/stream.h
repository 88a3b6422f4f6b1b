/* The fake runtime's work queues, in types that both the kernels' header and CUDA's can meet. */
#ifndef SIMT_STREAM_H
#define SIMT_STREAM_H

#include <cstddef>
#include <functional>

namespace simt {

/* Held by each call of the runtime, and of what stands for the libraries, from its beginning to its end: host threads
 * take turns, and who waits is let in now and then, so that their calls mix. Orders nothing for ThreadSanitizer: a
 * program that relies on the turns is to be found. */
class Hold {
public:
    Hold();
    ~Hold();
    Hold(const Hold &) = delete;
    Hold &operator=(const Hold &) = delete;
};

/* Work for a stream (cudaStream_t; nullptr: the legacy stream), or for the graph that it
 * captures. Returns a CUDA error. Eager: it runs before this returns. With SIMT_DEFER=1 it runs
 * when something waits for it, streams in random order as far as events allow. */
int enqueue(void *stream, std::function<void()> work);
/* Waits for all streams. */
void drain();
/* Waits for the device, as some calls of the libraries do without saying so. Ends every capture on it, in whatever
 * mode and thread (NVIDIA/TensorRT issue 2888). Returns a CUDA error. */
int synchronize();
/* Is a stream capturing, so that what this host thread asks for is refused? That breaks the capture. */
bool capture_forbids();

/* Remembers an error of this host thread until take_error; returns it. */
int note_error(int error);
int take_error();
int last_error();

/* Does a test want this call to fail? Counts it. */
bool call_fails();
/* From now on each does. */
void lose_device();

/* Most dynamic shared memory that a launch of the kernel may ask for. */
size_t dynamic_limit(const void *kernel);
void set_dynamic_limit(const void *kernel, size_t bytes);

/* Things that must be given back before the program ends: +1 made, -1 given back. */
enum Resource { HOST_MEMORY, STREAMS, EVENTS, GRAPHS, RESOURCES };
void count_resource(Resource what, int change);

} // namespace simt

#endif
