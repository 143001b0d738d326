/*
 * Checkpoints of a run: FOLDER/step-NNNNNNNNN.safetensors, whole or not there. Each file carries two checksums in its metadata, of its data and of everything
 * else it says (names, types, shapes, metadata), so any damage is noticed. The newest one that verifies is taken on resume, and older ones are pruned only
 * after a newer was read back.
 */
#ifndef SKY_IO_CHECKPOINT_FILE_H
#define SKY_IO_CHECKPOINT_FILE_H

#include "safetensors.h"

/* Adds "crc32c" (of the data) and "crc32c_header" to the texts, checks the room on the disk (SKY_NOSPACE names need and have), writes atomically. */
sky_status sky_checkpoint_write(const char *path, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count);

/* Opens and verifies structure and checksums. SKY_FORMAT when it is damaged or has no checksum of its data. */
sky_status sky_checkpoint_open(struct sky_safetensors *file, const char *path);

/* Any weights file: like a checkpoint when it carries checksums, else its structure alone is checked. */
sky_status sky_weights_open(struct sky_safetensors *file, const char *path);

/* FOLDER/step-%09lld.safetensors as heap text. */
sky_status sky_checkpoint_path(char **out, const char *folder, int64_t step);

/* How many step-*.safetensors the folder holds, whole or not; 0 when there is no such folder. */
sky_status sky_checkpoint_count(const char *folder, int64_t *out);

/*
 * Opens the newest checkpoint of the folder that verifies (and whose text "step", if it has one, agrees with its name) and gives its step. Each newer one
 * that does not is named with the reason through sky_log (warning). None: SKY_FORMAT.
 */
sky_status sky_checkpoint_find_newest(struct sky_safetensors *file, const char *folder, int64_t *step);

/*
 * Removes what is older than the `keep` (at least 1) newest whole step-*.safetensors, and temporary files of dead processes. The newest whole one is found as
 * on resume, its checksums read back; when there is none nothing is removed and its failure returned. Damaged ones among the kept stay and do not count.
 */
sky_status sky_checkpoint_prune(const char *folder, int64_t keep);

#endif
