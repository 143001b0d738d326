/*
 * The sources behind frames.h. Owns the descriptors and the buffer that streams are cut from; waits in poll, so that a signal is seen within a fraction of a
 * second.
 */
#include "frames.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/signals.h"
#include "image/file_kind.h"
#include "jpeg_stream.h"
#include "skygem/log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, MOST_BYTES = 1 << 28, WAIT_MS = 200 };

enum source { OPERANDS, LINES_OR_PICTURES, WATCH };

struct sky_frames {
    enum source source;
    struct sky_pictures pictures; /* OPERANDS */
    int64_t next;                 /* OPERANDS: of them; streams: pictures so far */
    int fd;                       /* the list, standard input, or inotify */
    bool own_fd, ended, is_pictures, begun;
    const char *watched;
    unsigned char *buffer; /* [used], of which `taken` have been handed out */
    size_t used, taken, room;
    char *path, name[64]; /* of the last frame */
};

static sky_status open_watch(struct sky_frames *frames, const char *folder)
{
    frames->source = WATCH, frames->watched = folder;
    if (!sky_path_is_folder(folder)) return sky_fail(SKY_USAGE, "--watch", "there is no folder '%s'", folder);
    frames->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    frames->own_fd = frames->fd >= 0;
    if (frames->fd < 0 || inotify_add_watch(frames->fd, folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) < 0)
        return sky_fail_errno(folder, "cannot watch it");
    sky_log(SKY_LOG_INFO, "watching %s for pictures that are written or moved there; Ctrl-C ends it", folder);
    return SKY_OK;
}

static sky_status open_list(struct sky_frames *frames, const char *list)
{
    frames->source = LINES_OR_PICTURES;
    frames->fd = open(list, O_RDONLY | O_CLOEXEC);
    frames->own_fd = frames->fd >= 0;
    return frames->own_fd ? SKY_OK : sky_fail_errno(list, "cannot open the list");
}

static sky_status open_source(struct sky_frames *frames, const struct sky_args *args, const char *list, const char *watch)
{
    const bool input = args->operand_count > 1 && !strcmp(args->operands[1], "-"); /* operand 0 is the index */
    const int given = (args->operand_count > 1) + (list != NULL) + (watch != NULL);
    if (given != 1 || (input && args->operand_count > 2)) {
        sky_fail(SKY_USAGE, args->path, given ? "takes its pictures from one place: IMAGE..., -, --list or --watch" : "needs pictures");
        return sky_hint("'skygem %s --help' tells which", args->path);
    }
    if (watch) return open_watch(frames, watch);
    if (list) return open_list(frames, list);
    if (input) return frames->source = LINES_OR_PICTURES, frames->fd = STDIN_FILENO, SKY_OK;
    for (int i = 1; i < args->operand_count; i++) SKY_TRY(sky_pictures_add(&frames->pictures, args->operands[i]));
    return SKY_OK;
}

sky_status sky_frames_open(struct sky_frames **out, const struct sky_args *args, const char *list, const char *watch)
{
    struct sky_frames *frames = NULL;
    SKY_TRY(sky_alloc(&frames, 1, sizeof *frames, "frames"));
    const sky_status status = open_source(frames, args, list, watch);
    if (status == SKY_OK) *out = frames;
    else sky_frames_close(frames);
    return status;
}

void sky_frames_close(struct sky_frames *frames)
{
    if (!frames) return;
    sky_pictures_free(&frames->pictures);
    if (frames->own_fd) close(frames->fd);
    free(frames->buffer);
    free(frames->path);
    free(frames);
}

/* ---- bytes ---- */

/* Drops what was handed out and reads more; ended: there is no more, or a signal came. */
static sky_status read_more(struct sky_frames *frames)
{
    if (frames->taken) memmove(frames->buffer, frames->buffer + frames->taken, frames->used - frames->taken);
    frames->used -= frames->taken, frames->taken = 0;
    if (frames->used + READ_BYTES > frames->room) {
        const size_t room = 2 * frames->room + READ_BYTES;
        unsigned char *grown = room <= MOST_BYTES ? realloc(frames->buffer, room) : NULL;
        if (!grown) return sky_fail(SKY_DATA, "stream", "a picture or line of more than %zu bytes", frames->used);
        frames->buffer = grown, frames->room = room;
    }
    for (;;) {
        struct pollfd wanted = {.fd = frames->fd, .events = POLLIN};
        if (sky_signal_received()) return frames->ended = true, SKY_OK;
        const int ready = poll(&wanted, 1, WAIT_MS);
        if (ready < 0 && errno != EINTR) return sky_fail_errno("stream", "cannot wait for it");
        if (ready <= 0) continue;
        const ssize_t count = read(frames->fd, frames->buffer + frames->used, frames->room - frames->used);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (count < 0) return sky_fail_errno("stream", "cannot read");
        frames->ended = count == 0;
        frames->used += (size_t)count;
        return SKY_OK;
    }
}

static sky_status give_file(struct sky_frames *frames, const char *path, struct sky_frame *out)
{
    struct stat info;
    *out = (struct sky_frame){.name = path, .modified = NAN};
    if (stat(path, &info) == 0) out->modified = (double)info.st_mtim.tv_sec + 1e-9 * (double)info.st_mtim.tv_nsec;
    frames->next++;
    return SKY_OK;
}

static sky_status next_line(struct sky_frames *frames, struct sky_frame *out)
{
    for (;;) {
        unsigned char *line = frames->buffer + frames->taken, *end = frames->used > frames->taken ? memchr(line, '\n', frames->used - frames->taken) : NULL;
        if (!end && !frames->ended) {
            SKY_TRY(read_more(frames));
            continue;
        }
        if (!end && (frames->used == frames->taken || sky_signal_received())) return SKY_OK; /* no more */
        size_t length = (size_t)((end ? end : frames->buffer + frames->used) - line);
        frames->taken += length + (end != NULL);
        length -= length && line[length - 1] == '\r';
        if (!frames->next && length >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) line += 3, length -= 3; /* some editors begin a UTF-8 text so */
        if (!length) continue;
        free(frames->path);
        frames->path = strndup((const char *)line, length);
        return frames->path ? give_file(frames, frames->path, out) : sky_fail(SKY_NOMEM, "stream", "cannot keep a line of %zu bytes", length);
    }
}

static sky_status next_picture(struct sky_frames *frames, struct sky_frame *out)
{
    for (;;) {
        size_t start = 0, length = 0;
        const unsigned char *bytes = frames->buffer + frames->taken;
        const enum sky_jpeg_found found = sky_jpeg_find(bytes, frames->used - frames->taken, frames->ended, &start, &length);
        if (found == SKY_JPEG_NONE && frames->ended) return SKY_OK;
        if (found != SKY_JPEG_WHOLE) {
            frames->taken += start; /* what lies before a picture is nothing */
            SKY_TRY(read_more(frames));
            continue;
        }
        snprintf(frames->name, sizeof frames->name, "stdin#%lld", (long long)++frames->next);
        *out = (struct sky_frame){.name = frames->name, .bytes = bytes + start, .count = length, .modified = NAN};
        frames->taken += start + length;
        return SKY_OK;
    }
}

static sky_status next_of_stream(struct sky_frames *frames, struct sky_frame *out)
{
    while (!frames->begun && frames->used < 2 && !frames->ended) SKY_TRY(read_more(frames));
    if (!frames->begun) frames->is_pictures = frames->used >= 2 && frames->buffer[0] == 0xff && frames->buffer[1] == 0xd8;
    frames->begun = true;
    if (!frames->is_pictures && memchr(frames->buffer ? (void *)frames->buffer : "", 0, frames->used)) {
        sky_fail(SKY_DATA, "stream", "is neither paths, one a line, nor JPEG pictures: it has zero bytes");
        return sky_hint("of pictures one behind the other only JPEG can be told apart: ffmpeg -i VIDEO -f image2pipe -c:v mjpeg -");
    }
    return frames->is_pictures ? next_picture(frames, out) : next_line(frames, out);
}

/* ---- a watched folder ---- */

static sky_status next_of_watch(struct sky_frames *frames, struct sky_frame *out)
{
    for (;;) {
        struct inotify_event event;
        if (frames->used - frames->taken < sizeof event) {
            if (frames->ended) return SKY_OK;
            SKY_TRY(read_more(frames));
            continue;
        }
        memcpy(&event, frames->buffer + frames->taken, sizeof event); /* the kernel hands out whole events */
        const char *name = (const char *)frames->buffer + frames->taken + sizeof event;
        frames->taken += sizeof event + event.len;
        if (event.mask & IN_Q_OVERFLOW) sky_log(SKY_LOG_WARNING, "%s: pictures come faster than they are located; some were missed", frames->watched);
        if (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) return sky_fail(SKY_IO, frames->watched, "the watched folder is gone");
        if (!event.len || (event.mask & IN_ISDIR) || sky_file_kind(name) == SKY_FILE_OTHER) continue;
        free(frames->path);
        frames->path = NULL;
        SKY_TRY(sky_path_join(&frames->path, frames->watched, name));
        return give_file(frames, frames->path, out);
    }
}

/* A signal is the end of what has none; of what was named it leaves some out. */
static sky_status stop(const struct sky_frames *frames)
{
    if (frames->source == OPERANDS && frames->next < frames->pictures.count)
        return sky_fail(SKY_INTERRUPTED, "pictures", "stopped after %lld of %lld", (long long)frames->next, (long long)frames->pictures.count);
    if (frames->source == LINES_OR_PICTURES && frames->own_fd && !(frames->ended && frames->used == frames->taken))
        return sky_fail(SKY_INTERRUPTED, "the list", "stopped after %lld pictures, before its end", (long long)frames->next);
    return SKY_OK;
}

sky_status sky_frames_next(struct sky_frames *frames, struct sky_frame *out)
{
    *out = (struct sky_frame){.modified = NAN};
    if (sky_signal_received()) return stop(frames);
    if (frames->source == WATCH) return next_of_watch(frames, out);
    if (frames->source == LINES_OR_PICTURES) return next_of_stream(frames, out);
    return frames->next < frames->pictures.count ? give_file(frames, frames->pictures.paths[frames->next], out) : SKY_OK;
}
