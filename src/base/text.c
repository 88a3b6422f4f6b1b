#include "base/text.h"

#include <string.h>

/* Length of the UTF-8 sequence at s, 0 where it is none (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80) return 1;
    size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || n > left) return 0;
    unsigned char low = 0x80, high = 0xBF;
    if (s[0] == 0xE0) low = 0xA0;
    if (s[0] == 0xED) high = 0x9F;
    if (s[0] == 0xF0) low = 0x90;
    if (s[0] == 0xF4) high = 0x8F;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < n; i++) {
        if (s[i] < 0x80 || s[i] > 0xBF) return 0;
    }
    return n;
}

size_t qv_utf8_check(const char *s, size_t size)
{
    size_t i = 0;
    while (i < size) {
        size_t n = utf8_length((const unsigned char *)s + i, size - i);
        if (n == 0) return i;
        i += n;
    }
    return size;
}

bool qv_is_utf8(const char *s)
{
    size_t n = strlen(s);
    return qv_utf8_check(s, n) == n;
}

size_t qv_line_bytes(const char *s)
{
    size_t n = 0;
    while (s[n] && !qv_ends_line(s, n)) n++;
    return n + (s[n] != '\0');
}

char *qv_next_line(char **rest)
{
    char *line = *rest;
    if (!line) return NULL;
    const size_t all = qv_line_bytes(line), text = strcspn(line, "\r\n");
    *rest = all > text ? line + all : NULL;
    line[text < all ? text : all] = '\0';
    return line;
}

size_t qv_control(const char *s)
{
    const unsigned char *c = (const unsigned char *)s;
    if (c[0] == 0xC2) return c[1] >= 0x80 && c[1] < 0xA0 ? 2 : 0;                  /* U+0080 ... U+009F */
    if (c[0] == 0xE2 && c[1] == 0x80) return c[2] >= 0xA8 && c[2] <= 0xAE ? 3 : 0; /* U+2028 ... U+202E */
    if (c[0] == 0xE2 && c[1] == 0x81) return c[2] >= 0xA6 && c[2] <= 0xA9 ? 3 : 0; /* U+2066 ... U+2069 */
    return (c[0] > 0 && c[0] < ' ') || c[0] == 0x7F;
}

bool qv_has_control(const char *s)
{
    while (*s && qv_control(s) == 0) s++;
    return *s;
}

const char *qv_edge_blank(const char *s)
{
    static const struct {
        const char *bytes, *name;
    } blanks[] = {{" ", "a blank"},
                  {"\xC2\xA0", "a no-break space (U+00A0)"},
                  {"\xE2\x80\x8B", "a zero-width space (U+200B)"},
                  {"\xEF\xBB\xBF", "a byte order mark (U+FEFF)"}};
    size_t size = strlen(s);
    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++) {
        size_t n = strlen(blanks[i].bytes);
        if (size < n) continue;
        if (memcmp(s, blanks[i].bytes, n) == 0 || memcmp(s + size - n, blanks[i].bytes, n) == 0) return blanks[i].name;
    }
    return NULL;
}

void qv_calm(char *text)
{
    size_t left = strlen(text);
    for (size_t n; left > 0; text += n, left -= n) {
        size_t whole = utf8_length((const unsigned char *)text, left);
        n = *text == '\n' || *text == '\t' ? 0 : qv_control(text);
        if (whole == 0) n = 1;
        memset(text, '?', n);
        if (n == 0) n = whole;
    }
}

char *qv_trimmed(char *text)
{
    while (qv_is_blank(*text)) text++;
    size_t n = strlen(text);
    while (n && qv_is_blank(text[n - 1])) n--;
    text[n] = '\0';
    return text;
}
