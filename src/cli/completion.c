/* Completion for shells, from the tables that the commands parse their words with. */
#include <string.h>

#include "cli/cli.h"

static void option_names(const qv_command *c, qv_buf *out)
{
    const struct option *o = c->options ? c->options() : NULL;
    for (; o && o->name; o++) qv_buf_printf(out, " --%s", o->name);
    if (!c->options) qv_buf_puts(out, " --help");
    if (c->run == qv_cmd_train) {
        for (size_t i = 0; qv_cli_train_shorthand(i); i++) qv_buf_printf(out, " --%s", qv_cli_train_shorthand(i));
        for (size_t i = 0; qv_settings_name(i); i++) qv_buf_printf(out, " --%s=", qv_settings_name(i));
    }
    qv_buf_puts(out, " --quiet --verbose");
}

static void each_command(qv_buf *out, const char *before, const char *after)
{
    for (const qv_command *c = qv_commands; c->name; c++) {
        qv_buf_printf(out, "    %s)%s", c->name, before);
        option_names(c, out);
        qv_buf_puts(out, after);
    }
}

static void topics(qv_buf *out)
{
    for (int i = 0; qv_topics[i]; i++) qv_buf_printf(out, " %s", qv_topics[i]);
}

static void commands(qv_buf *out)
{
    for (const qv_command *c = qv_commands; c->name; c++) qv_buf_printf(out, " %s", c->name);
}

static void bash(qv_buf *out)
{
    qv_buf_puts(out, "# bash completion of quaver, made by `quaver completion bash`\n"
                     "_quaver()\n{\n    local words current=${COMP_WORDS[COMP_CWORD]}\n    COMPREPLY=()\n"
                     "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"");
    commands(out);
    qv_buf_puts(out, " help completion --help --version\"\n        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
                     "        return\n    fi\n    case ${COMP_WORDS[1]} in\n    help) words=\"");
    commands(out);
    topics(out);
    qv_buf_puts(out, "\" ;;\n    completion) words=\"bash zsh\" ;;\n");
    each_command(out, " words=\"", "\" ;;\n");
    qv_buf_puts(out, "    *) return ;;\n    esac\n    case $current:${COMP_WORDS[1]} in\n"
                     "    -*|*:help|*:completion) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;\n    esac\n"
                     "    case ${COMPREPLY[0]} in *=) compopt -o nospace ;; esac\n}\n"
                     "complete -o default -F _quaver quaver\n");
}

/* Descriptions stand in single quotes, where a colon would end the name. */
static void zsh_text(qv_buf *out, const char *text)
{
    for (const char *s = text; *s; s++) {
        if (*s == '\'')
            qv_buf_puts(out, "'\\''");
        else
            qv_buf_add(out, s, 1);
    }
}

static void zsh(qv_buf *out)
{
    qv_buf_puts(out, "#compdef quaver\n# zsh completion of quaver, made by `quaver completion zsh`\n"
                     "local -a names\nif (( CURRENT == 2 )); then\n    names=(\n");
    for (const qv_command *c = qv_commands; c->name; c++) {
        qv_buf_printf(out, "        '%s:", c->name);
        zsh_text(out, c->help);
        qv_buf_puts(out, "'\n");
    }
    qv_buf_puts(out, "        'help:a command or a topic'\n        'completion:for a shell'\n    )\n"
                     "    _describe command names\n    return\nfi\ncase $words[2] in\n    help) compadd --");
    commands(out);
    topics(out);
    qv_buf_puts(out, "; return ;;\n    completion) compadd -- bash zsh; return ;;\n");
    each_command(out, " [[ $PREFIX == -* ]] && compadd --", " ;;\n");
    qv_buf_puts(out, "esac\n_files\n");
}

qv_status qv_cli_completion(qv_ctx *ctx, const char *shell, qv_buf *out)
{
    if (strcmp(shell, "bash") == 0)
        bash(out);
    else if (strcmp(shell, "zsh") == 0)
        zsh(out);
    else
        return qv_fail(ctx, QV_ERR_USAGE, "there is no completion for %s, only for bash and zsh", shell);
    return qv_buf_check(ctx, out);
}
