#include "tests/simt/plant.h"

#include <cstdlib>
#include <cstring>

#include "tests/simt/fail.h"

namespace simt
{

namespace {

bool reached;

void check_reached()
{
    if (!reached) fail("SIMT_PLANT=%s: nothing was planted", std::getenv("SIMT_PLANT"));
}

/* What follows "KIND:" in SIMT_PLANT, or nullptr. */
const char *plant(const char *kind)
{
    static const char *const text = std::getenv("SIMT_PLANT");
    if (!text) return nullptr;
    static const int watched = std::atexit(check_reached);
    const size_t n = std::strlen(kind);
    return watched || std::strncmp(text, kind, n) || text[n] != ':' ? nullptr : text + n + 1;
}

} // namespace

long plant_number(const char *kind)
{
    const char *what = plant(kind);
    if (what) reached = true;
    return what ? std::atol(what) : -1;
}

bool planted(const char *kind, const char *name)
{
    const char *what = plant(kind);
    const bool yes = what && std::strstr(name, what);
    reached |= yes;
    return yes;
}

bool planted(const char *kind, long number)
{
    const char *what = plant(kind);
    const bool yes = what && std::atol(what) == number;
    reached |= yes;
    return yes;
}

} // namespace simt
