/* GPUs as their data sheets have them: what cuDNN asks of a device that is not there. */
#ifndef QV_TEST_CUDA_DEVICES_H
#define QV_TEST_CUDA_DEVICES_H

#include <cudnn.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct test_device {
    const char *name;
    int version;                                   /* compute capability, major * 100 + minor * 10 */
    int processors, shared_optin, blocks, threads; /* the last three of one multiprocessor */
    long memory;                                   /* bytes */
    int clock, memory_clock;                       /* kHz */
    long l2;                                       /* bytes */
} test_device;

static const test_device test_devices[] = {
    {"NVIDIA A100-SXM4-80GB", 800, 108, 166912, 32, 2048, 85899345920, 1410000, 1593000, 41943040},
    {"NVIDIA H100 80GB HBM3", 900, 132, 232448, 32, 2048, 85899345920, 1980000, 2619000, 52428800},
    {"NVIDIA GeForce RTX 5090", 1200, 170, 101376, 24, 1536, 34359738368, 2407000, 14001000, 100663296},
};

/* The cuDNN of which is known for which graphs it has engines and which notes these bear (docs/kernels.md). What
 * another one offers is printed, not judged: the program takes what there is. */
enum { TEST_CUDNN = 919 };

static inline bool test_cudnn_is_known(void)
{
    const size_t version = cudnnGetVersion() / 100;
    if (version == TEST_CUDNN) return true;
    printf("SKIPPED: what cuDNN %zu.%zu offers is not judged, %d.%d is known\n", version / 100, version % 100,
           TEST_CUDNN / 100, TEST_CUDNN % 100);
    return false;
}

enum { TEST_DEVICES = sizeof test_devices / sizeof test_devices[0], TEST_DEVICE_TEXT = 1024 };

static inline void test_device_json(const test_device *d, char text[TEST_DEVICE_TEXT])
{
    snprintf(text, TEST_DEVICE_TEXT,
             "{\"deviceVer\":%d,\"multiProcessorCount\":%d,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
             "\"maxSharedMemoryPerBlockOptin\":%d,\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
             "\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,\"regsPerBlock\":65536,"
             "\"totalGlobalMem\":%ld,\"smClockRateKHz\":%d,\"memClockRateKHz\":%d,\"l2CacheSize\":%ld,"
             "\"maxBlockSize\":[1024,1024,64],\"maxGridSize\":[2147483647,65535,65535],\"supportCoopLaunch\":1,"
             "\"pciDeviceId\":0,\"isTccDriver\":0,\"cudaDeviceId\":0,\"driverVer\":13000,\"deviceName\":\"%s\"}",
             d->version, d->processors, d->shared_optin, d->blocks, d->threads, d->memory, d->clock, d->memory_clock,
             d->l2, d->name);
}

#endif
