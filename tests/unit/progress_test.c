/*
 * Progress lines as a terminal shows them: a pseudo terminal of each width is played by a small screen, on which no line may wrap, and of which nothing is left
 * beside what is said after it. And what is written where no terminal is.
 */
#include "check.h"

#include "base/clock.h"
#include "cli/console.h"
#include "cli/progress.h"

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_BYTES = 1 << 16, ROWS = 40, WIDEST = 200 };

static char written[MOST_BYTES];
static int stderr_copy;

/* What a program writes to stderr between these two, where `fd` is: a terminal or a pipe. */
static void turn_stderr(int fd) { CHECK(dup2(fd, STDERR_FILENO) >= 0); }

static void take_written(int fd)
{
    ssize_t count, used = 0;
    fflush(stderr);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    while (used < MOST_BYTES - 1 && (count = read(fd, written + used, (size_t)(MOST_BYTES - 1 - used))) > 0) used += count;
    written[used] = 0;
    turn_stderr(stderr_copy);
}

struct screen {
    char rows[ROWS][WIDEST + 1];
    int row, column, widest;
};

/* Carriage return, newline, "erase to the end of the line", colours (left out), letters. */
static void play(struct screen *screen, const char *text)
{
    memset(screen, 0, sizeof *screen);
    for (const char *at = text; *at && screen->row < ROWS; at++) {
        char *row = screen->rows[screen->row];
        if (*at == '\r') screen->column = 0;
        else if (*at == '\n') screen->row++, screen->column = 0;
        else if (!strncmp(at, "\x1b[K", 3)) memset(row + screen->column, 0, (size_t)(WIDEST - screen->column)), at += 2;
        else if (*at == '\x1b') at += strcspn(at, "m");
        else if (screen->column < WIDEST) {
            row[screen->column++] = *at;
            if (screen->column > screen->widest && row[0] == 's') screen->widest = screen->column; /* a step's; what stays may be longer */
        }
    }
}

static void show(struct sky_progress *progress, int64_t done, const char *extra)
{
    progress->last_shown = -1e9; /* no waiting */
    sky_progress_show(progress, done, 1, extra);
}

static void begin(const char *terminal)
{
    CHECK(setenv("TERM", terminal, 1) == 0);
    sky_console_open(SKY_LOG_INFO);
}

/* A step's line of a training, which is longer than any narrow terminal, with a warning in between and a line after it. */
static void run_steps(void)
{
    static const char extra[] = "epoch 3  loss 2.3456 (ce 2.0000 kl 0.34560)  grad 12.3  lr 1.00e-03  data 4 %";
    struct sky_progress progress;
    sky_progress_begin(&progress, "step", "img", 12345, 0);
    show(&progress, 12, extra);
    show(&progress, 120, extra);
    sky_log(SKY_LOG_WARNING, "a picture is bad");
    show(&progress, 1234, extra);
    show(&progress, 12345, NULL);
    sky_progress_end(&progress);
    sky_log(SKY_LOG_INFO, "done");
}

static void check_terminal(int columns, const char *said, int width)
{
    int master = -1, slave = -1;
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    struct screen screen;
    char detail[48];
    if (said) CHECK(setenv("COLUMNS", said, 1) == 0);
    if (!CHECK(openpty(&master, &slave, NULL, NULL, &size) == 0)) return;
    turn_stderr(slave);
    begin("xterm");
    run_steps();
    take_written(master);
    play(&screen, written);
    snprintf(detail, sizeof detail, "%d columns: widest %d", width, screen.widest);
    check_that(screen.widest < width && screen.widest > 0, "no line reaches the terminal's end", __FILE__, __LINE__, detail);
    check_that(!strcmp(screen.rows[0], "warning: a picture is bad") && !strcmp(screen.rows[1], "done") && !screen.rows[2][0], "what stays is whole", __FILE__, __LINE__, detail);
    if (width >= 16) check_that(strstr(written, "\rstep 12/12345") || strstr(written, "\r\x1b[Kstep 12/12345"), "the count is shown", __FILE__, __LINE__, detail);
    close(slave);
    close(master);
    unsetenv("COLUMNS");
}

/* Every line that passes is a beginning of the whole one that ends where a part ends. */
static void check_parts(void)
{
    int master = -1, slave = -1;
    struct winsize size = {.ws_row = 24, .ws_col = 34};
    struct sky_progress progress;
    if (!CHECK(openpty(&master, &slave, NULL, NULL, &size) == 0)) return;
    turn_stderr(slave);
    begin("xterm");
    sky_progress_begin(&progress, "step", "img", 100, 0);
    progress.start = sky_now() - 1e6; /* long ago, however short the machine has been up: 0.0 img/s */
    show(&progress, 100, "loss 1.2345  data 4 %");
    sky_progress_end(&progress);
    take_written(master);
    CHECK(strstr(written, "step 100/100  0.0 img/s  ETA 0 s") != NULL && !strstr(written, "loss"));
    close(slave);
    close(master);
}

static void check_no_terminal(const char *terminal, int is_terminal)
{
    int ends[2] = {-1, -1};
    struct winsize size = {.ws_row = 24, .ws_col = 20};
    if (!CHECK(is_terminal ? openpty(&ends[0], &ends[1], NULL, NULL, &size) == 0 : pipe(ends) == 0)) return;
    turn_stderr(ends[1]);
    begin(terminal);
    run_steps();
    take_written(ends[0]);
    CHECK(!strstr(written, "\x1b[K") && (is_terminal || !strchr(written, '\r')));
    CHECK(strstr(written, "step 1234/12345") != NULL && strstr(written, "data 4 %") != NULL); /* whole lines in a log */
    close(ends[0]);
    close(ends[1]);
}

static void check_colours(const char *no_colour, int coloured)
{
    int master = -1, slave = -1;
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    if (no_colour) CHECK(setenv("NO_COLOR", no_colour, 1) == 0);
    if (!CHECK(openpty(&master, &slave, NULL, NULL, &size) == 0)) return;
    turn_stderr(slave);
    begin("xterm");
    run_steps();
    take_written(master);
    CHECK((strstr(written, "\x1b[33m") != NULL) == coloured);
    close(slave);
    close(master);
    unsetenv("NO_COLOR");
}

int main(void)
{
    stderr_copy = dup(STDERR_FILENO);
    unsetenv("COLUMNS");
    unsetenv("NO_COLOR");
    for (int columns = 2; columns <= 132; columns++) check_terminal(columns, NULL, columns);
    check_terminal(0, NULL, 80); /* a terminal that does not know */
    check_terminal(0, "30", 30);
    check_terminal(0, "thirty", 80);
    check_terminal(40, "100", 40); /* it knows better */
    check_parts();
    check_no_terminal("xterm", 0);
    check_no_terminal("dumb", 1);
    check_colours(NULL, 1);
    check_colours("1", 0);
    check_colours("", 1);
    return check_done();
}
