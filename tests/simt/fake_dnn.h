/* What a test may ask of the plain-loop implementation of src/backend/cuda/dnn.h. */
#ifndef SIMT_FAKE_DNN_H
#define SIMT_FAKE_DNN_H

#include "backend/cuda/dnn.h"

/* Keys for which the function says true get no plan; NULL: all get one. */
void simt_dnn_refuse(bool (*refuse)(const qv_dnn_key *key));
/* Plans handed out since the start, and runs enqueued. */
long simt_dnn_plans(void);

#endif
