/* All of the public interface. */
#ifndef QUAVER_QUAVER_H
#define QUAVER_QUAVER_H

#include "quaver/predictor.h"
#include "quaver/status.h"

#endif
