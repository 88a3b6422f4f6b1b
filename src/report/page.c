#include "report/page.h"

#include "report/report_data.h"
#include "report/svg.h"

void qv_page_begin(qv_buf *b, const char *title, const char *kind, const char *more)
{
    qv_buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src "
                   "'unsafe-inline'\">\n<title>");
    qv_markup_text(b, title);
    qv_markup_text(b, kind);
    qv_buf_puts(b, "</title>\n<style>\n");
    qv_buf_puts(b, qv_report_style);
    qv_buf_puts(b, more);
    qv_buf_puts(b, "</style>\n</head>\n<body>\n<main>\n");
}

void qv_page_end(qv_buf *b, const char *command)
{
    if (command) {
        qv_buf_puts(b, "<footer>Made by <code>");
        qv_markup_text(b, command);
        qv_buf_puts(b, "</code> from the files of this folder.</footer>\n");
    }
    qv_buf_puts(b, "</main>\n</body>\n</html>\n");
}

void qv_page_note(qv_buf *b, const char *strong, const char *text)
{
    qv_buf_puts(b, "<p class=\"note\"><b>");
    qv_markup_text(b, strong);
    qv_buf_puts(b, "</b> ");
    qv_markup_text(b, text);
    qv_buf_puts(b, "</p>\n");
}

void qv_page_entry(qv_buf *b, const char *name, const char *value, const char *more)
{
    if (!value || !*value) return;
    qv_buf_printf(b, "<dt>%s</dt><dd>", name);
    qv_markup_text(b, value);
    qv_markup_text(b, more);
    qv_buf_puts(b, "</dd>\n");
}

void qv_page_code(qv_buf *b, const char *name, const char *value)
{
    if (!value) return;
    qv_buf_printf(b, "<dt>%s</dt><dd><code>", name);
    qv_markup_text(b, value);
    qv_buf_puts(b, "</code></dd>\n");
}

void qv_page_table(qv_buf *b, const char *label, const char *caption, const char *const *names, size_t n)
{
    qv_buf_printf(b, "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"%s\"><table>", label);
    if (*caption) qv_buf_printf(b, "<caption>%s</caption>", caption);
    qv_buf_puts(b, "<thead><tr>");
    for (size_t i = 0; i < n; i++) qv_buf_printf(b, "<th scope=\"col\">%s</th>", names[i]);
    qv_buf_puts(b, "</tr></thead><tbody>\n");
}

void qv_page_figure(qv_buf *b, const char *cls, const char *heading)
{
    qv_buf_printf(b, "<figure class=\"%s\"><figcaption>", cls);
    qv_markup_text(b, heading);
    qv_buf_puts(b, "</figcaption>\n");
}
