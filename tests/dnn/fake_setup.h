/* Before and after each test on a fake device. */
#ifndef QV_TEST_FAKE_SETUP_H
#define QV_TEST_FAKE_SETUP_H

#include "backend/cuda/dnn_plan.h"
#include "devices.h"
#include "fake_device.h"
#include "support/support.h"

/* One fake device a test; everything that was made must be gone at its end. */
static inline int begin(void **state)
{
    char json[TEST_DEVICE_TEXT];
    qv_ctx *ctx = qv_ctx_new();
    memset(&fake, 0, sizeof fake);
    test_device_json(&test_devices[1], json);
    qv_assert_ok(ctx, qv_dnn_device(ctx, &fake.properties, json));
    fake.calls = 0;
    *state = ctx;
    return 0;
}

static inline void all_is_released(long descriptors)
{
    assert_int_equal(fake.descriptors, descriptors);
    assert_int_equal(fake.handles, 0);
    assert_int_equal(fake.allocations, 0);
    assert_int_equal(fake.streams, 0);
    assert_int_equal(fake.events, 0);
}

static inline int end(void **state)
{
    fake.fail_at = 0;
    qv_desc_free(fake.properties);
    all_is_released(0);
    qv_ctx_free(*state);
    return 0;
}

#endif
