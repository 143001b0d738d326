/* Where was this photo taken? The whole way in C: cc locate.c $(pkg-config --cflags --libs skygem) && ./a.out INDEX PHOTO.jpg */
#include <skygem/skygem.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(void)
{
    const struct sky_error *error = sky_error_last();
    fprintf(stderr, "%s: %s\n%s\n", error->where, error->what, error->hint);
    return sky_status_exit_code(error->status);
}

int main(int argc, char **argv)
{
    struct sky_index *index = NULL;     /* one for all threads */
    struct sky_encoder *encoder = NULL; /* one a thread */
    struct sky_search *search = NULL;   /* one a thread */
    struct sky_answer answer;
    struct sky_tile tile;

    if (argc != 3) return fprintf(stderr, "usage: %s INDEX PHOTO\n", argv[0]), 2;
    if (sky_index_open(&index, argv[1], NULL) != SKY_OK) return fail();
    if (sky_index_open_encoder(index, NULL, NULL, 0, &encoder) != SKY_OK) return fail(); /* the weights that the index names */
    if (sky_search_open(&search, index, 3, 0) != SKY_OK) return fail();
    float *feature = malloc((size_t)sky_encoder_dimensions(encoder) * sizeof *feature);
    if (!feature) return 1;

    /* From a camera instead of a file: sky_encoder_embed(encoder, rgb, width, height, 0, feature) */
    if (sky_encoder_embed_file(encoder, argv[2], feature) != SKY_OK) return fail();
    if (sky_search_run(search, feature, &answer) != SKY_OK) return fail();
    for (int64_t i = 0; i < answer.count; i++) {
        sky_index_tile(index, answer.candidates[i].tile, &tile);
        printf("%.4f %.6f %.6f %s\n", (double)answer.candidates[i].similarity, tile.latitude, tile.longitude, tile.path);
    }
    printf("margin %.4f, confidence %.3f (nan: not calibrated)\n", answer.margin, answer.confidence);
    free(feature);
    sky_search_close(search);
    sky_encoder_close(encoder);
    sky_index_close(index);
    return 0;
}
