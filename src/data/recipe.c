#include "data/recipe.h"

#include <ctype.h>
#include <string.h>

#include "base/nearest.h"

const qv_recipe qv_recipes[] = {
#define QV_RECIPE(...) {__VA_ARGS__},
#include "data/recipes.def"
#undef QV_RECIPE
};
const size_t qv_n_recipes = sizeof qv_recipes / sizeof *qv_recipes;

qv_status qv_recipe_find(qv_ctx *ctx, const qv_recipe **out, const char *name)
{
    const char *names[sizeof qv_recipes / sizeof *qv_recipes];
    for (size_t i = 0; i < qv_n_recipes; i++) {
        names[i] = qv_recipes[i].name;
        *out = &qv_recipes[i];
        if (strcmp(names[i], name) == 0) return QV_OK;
    }
    *out = NULL;
    const char *near = qv_nearest(name, names, qv_n_recipes);
    if (near) return qv_fail(ctx, QV_ERR_USAGE, "there is no recipe '%s'; did you mean '%s'?", name, near);
    return qv_fail(ctx, QV_ERR_USAGE, "there is no recipe '%s'; quaver corpus list shows them all", name);
}

static bool same_key(const char *map, const char *key, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char m = map[i] == '~' ? ' ' : map[i];
        if (tolower((unsigned char)m) != tolower((unsigned char)key[i])) return false;
    }
    return true;
}

bool qv_map_find(const char *map, const char *key, size_t n_key, const char **value, size_t *n_value)
{
    for (const char *s = map; s && *s; s += strspn(s, " ")) {
        size_t n = strcspn(s, "="), total = strcspn(s, " ");
        if (n == n_key && same_key(s, key, n)) {
            *value = s + n + 1;
            *n_value = total - n - 1;
            return true;
        }
        s += total;
    }
    return false;
}
