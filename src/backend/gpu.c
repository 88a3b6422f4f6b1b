#include "backend/gpu.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The few entries of the driver's interface that are asked (CUDA driver API, cuda.h). */
enum { ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76 };
typedef struct driver {
    void *handle;
    int (*init)(unsigned flags);
    int (*version)(int *v);
    int (*count)(int *n);
    int (*get)(int *device, int ordinal);
    int (*name)(char *text, int size, int device);
    int (*attribute)(int *value, int attribute, int device);
    int (*memory)(size_t *bytes, int device);
} driver;

/* POSIX lets an object pointer hold a function's address; C does not let it be cast. */
static int load(const driver *d, const char *name, void *function)
{
    void *p = dlsym(d->handle, name);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

/* Once started, the driver stays loaded: what it has registered with the process would point into nothing, and who
 * opens a GPU next starts it again. */
static int open_driver(driver *d)
{
    d->handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    return d->handle && load(d, "cuInit", &d->init) && load(d, "cuDriverGetVersion", &d->version) &&
           load(d, "cuDeviceGetCount", &d->count) && load(d, "cuDeviceGet", &d->get) &&
           load(d, "cuDeviceGetName", &d->name) && load(d, "cuDeviceGetAttribute", &d->attribute) &&
           load(d, "cuDeviceTotalMem_v2", &d->memory);
}

static int describe(const driver *d, int ordinal, qv_gpu *g)
{
    int device;
    *g = (qv_gpu){0};
    return d->get(&device, ordinal) == 0 && d->name(g->name, (int)sizeof g->name, device) == 0 &&
           d->attribute(&g->major, ATTRIBUTE_MAJOR, device) == 0 && d->attribute(&g->minor, ATTRIBUTE_MINOR, device) == 0 &&
           d->memory(&g->memory, device) == 0;
}

int qv_gpu_list(qv_gpu *gpus, int *version, qv_buf *why)
{
    driver d = {0};
    int n = 0, found = 0, error;
    *version = 0;
    if (!open_driver(&d)) {
        qv_buf_puts(why, "no NVIDIA driver: libcuda.so.1 was not found");
    } else if ((error = d.init(0)) != 0) {
        qv_buf_printf(why, "the NVIDIA driver is installed but answers error %d: is there a GPU, and may this user use it?", error);
    } else if (d.version(version) != 0 || d.count(&n) != 0 || n == 0) {
        qv_buf_puts(why, "the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it)");
    } else {
        for (int i = 0; i < n && found < QV_MAX_GPUS; i++) found += describe(&d, i, &gpus[found]);
    }
    if (d.handle) dlclose(d.handle);
    return found;
}
