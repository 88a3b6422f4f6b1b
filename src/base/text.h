/* What is text, and what a terminal would take for more than that. */
#ifndef QV_BASE_TEXT_H
#define QV_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Offset of the first byte that is not UTF-8 (overlong forms, surrogates and values past U+10FFFF included), or `size`.
 */
size_t qv_utf8_check(const char *s, size_t size);

bool qv_is_utf8(const char *s);

/* LF, CRLF and a lone CR end a line: does it end with s[i]? s ends with a NUL. */
static inline bool qv_ends_line(const char *s, size_t i) { return s[i] == '\n' || (s[i] == '\r' && s[i + 1] != '\n'); }

/* Bytes of the line that s begins with, those that end it included; 0: s is empty. */
size_t qv_line_bytes(const char *s);
/* The line that *rest begins with, what ends it cut off in place, and *rest after it: a file's last line end is
 * followed by an empty line. NULL, which *rest then is, after the last. */
char *qv_next_line(char **rest);

/* Bytes of the character that s begins with if it moves a terminal's cursor, or worse: C0, DEL and C1 controls, breaks
 * of lines and paragraphs, and what turns the direction of the text that follows it. 0: it begins with none. */
size_t qv_control(const char *s);
bool qv_has_control(const char *s);

/* What separates words in a line: a blank, a tab, or the CR of a line's end. */
static inline bool qv_is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
/* Cuts such off both ends, in place; what is left begins inside `text`. */
char *qv_trimmed(char *text);

/* What a text begins or ends with that nobody sees: "a blank", or the name of a character that looks like one or like
 * nothing. NULL: neither. */
const char *qv_edge_blank(const char *s);

/* Makes a text fit for a terminal, in place: such characters, but for line feeds and tabs, and bytes that are not UTF-8
 * become '?'. */
void qv_calm(char *text);

#endif
