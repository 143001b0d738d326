/*
 * Checkpoints of a run: FOLDER/step-NNNNNNNNN.safetensors, whole or not there. Each file carries a crc32c of its data in its metadata; the newest one that verifies is
 * taken on resume, and older ones are pruned only after the new one was read back.
 */
#ifndef SKY_IO_CHECKPOINT_FILE_H
#define SKY_IO_CHECKPOINT_FILE_H

#include "safetensors.h"

/* Adds "crc32c" to the texts, checks the room on the disk (SKY_NOSPACE names need and have), writes atomically. */
sky_status sky_checkpoint_write(const char *path, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count);

/* Opens and verifies structure and checksum. SKY_FORMAT when it is damaged or has no checksum. */
sky_status sky_checkpoint_open(struct sky_safetensors *file, const char *path);

/* FOLDER/step-%09lld.safetensors as heap text. */
sky_status sky_checkpoint_path(char **out, const char *folder, int64_t step);

/*
 * Opens the newest checkpoint of the folder that verifies and gives its step. Each newer one that does not is named with the reason through sky_log (warning). None: SKY_FORMAT.
 */
sky_status sky_checkpoint_find_newest(struct sky_safetensors *file, const char *folder, int64_t *step);

/* Removes all but the `keep` newest step-*.safetensors, and temporary files of dead processes. The newest is verified first; if it is damaged nothing is removed. */
sky_status sky_checkpoint_prune(const char *folder, int64_t keep);

#endif
