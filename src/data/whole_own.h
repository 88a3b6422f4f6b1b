/* Between the checks of whole files. */
#ifndef QV_DATA_WHOLE_OWN_H
#define QV_DATA_WHOLE_OWN_H

#include "data/whole.h"
#include "data/window.h"

/* As qv_whole_check, of MPEG audio; QV_OK for all else. */
qv_status qv_whole_mpeg(qv_ctx *ctx, qv_window *w, qv_mpeg *out);

#endif
