/*
 * A run, or several side by side, as one HTML page that needs no other file and no network: scores, curves, exponents, settings. Light and dark, wide and narrow.
 */
#ifndef SKY_REPORT_PAGE_H
#define SKY_REPORT_PAGE_H

#include "run_data.h"

#include "base/str.h"

/* What of a run does not stand in its folder's small files: made by the caller, borrowed; zero or NULL where there is none. */
struct sky_page_extra {
    const float *exponents; /* GeM's p, of all parts together */
    int64_t exponent_count;
    int64_t exponents_step;
    const char *sheets;     /* HTML of the retrieval sheets, as sky_sheet_html makes it */
};

/* `extras` is [count] or NULL. SKY_CONFIG when a run.ini cannot be read (two runs or more: their settings are compared). */
sky_status sky_page_write(const struct sky_run_data *runs, const struct sky_page_extra *extras, int count, struct sky_text *out);

#endif
