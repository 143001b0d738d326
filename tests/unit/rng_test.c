/*
 * Philox4x32-10 against the published known answers (Random123, kat_vectors), and the distributions drawn from it.
 */
#include "check.h"

#include "base/rng.h"

static void test_known_answers(void)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        sky_philox_raw(cases[i].key, cases[i].counter, out);
        CHECK(!memcmp(out, cases[i].want, sizeof out));
    }
}

static void test_purity(void)
{
    uint32_t first[4], again[4], raw[4];
    const uint32_t key[2] = {7, 1}, counter[4] = {3, 9, 5, SKY_RNG_PICK};
    sky_philox((1ull << 32) | 7, SKY_RNG_PICK, 5, 9, 3, first);
    sky_philox((1ull << 32) | 7, SKY_RNG_PICK, 5, 9, 3, again);
    sky_philox_raw(key, counter, raw);
    CHECK(!memcmp(first, again, sizeof first));
    CHECK(!memcmp(first, raw, sizeof first));

    struct sky_rng a = sky_rng_make(1, SKY_RNG_TEST, 2, 3), b = sky_rng_make(1, SKY_RNG_TEST, 2, 3), other = sky_rng_make(1, SKY_RNG_TEST, 2, 4);
    int same = 0, same_other = 0;
    for (int i = 0; i < 1000; i++) {
        const uint32_t x = sky_rng_u32(&a);
        same += x == sky_rng_u32(&b);
        same_other += x == sky_rng_u32(&other);
    }
    CHECK(same == 1000);
    CHECK(same_other == 0);
}

static void test_distributions(void)
{
    enum { DRAWS = 200000 };
    struct sky_rng rng = sky_rng_make(42, SKY_RNG_TEST, 0, 0);
    double sum = 0, square = 0, low = 1, high = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double u = sky_rng_uniform(&rng);
        sum += u;
        low = u < low ? u : low, high = u > high ? u : high;
    }
    CHECK_NEAR(sum / DRAWS, 0.5, 0.003); /* standard error 0.00065 */
    CHECK(low >= 0 && high < 1);
    CHECK(low < 0.001 && high > 0.999);

    sum = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double x = sky_rng_normal(&rng);
        sum += x, square += x * x;
    }
    CHECK_NEAR(sum / DRAWS, 0, 0.01);
    CHECK_NEAR(square / DRAWS, 1, 0.02);

    int counts[7] = {0}, wrong = 0;
    for (int i = 0; i < DRAWS; i++) {
        const uint32_t pick = sky_rng_below(&rng, 7);
        if (pick < 7) counts[pick]++;
        else wrong++;
    }
    CHECK(wrong == 0);
    for (int i = 0; i < 7; i++) CHECK_NEAR(counts[i], DRAWS / 7.0, 800);
    CHECK(sky_rng_below(&rng, 1) == 0);

    for (int i = 0; i < 1000; i++) {
        const double x = sky_rng_between(&rng, -2, 3);
        wrong += !(x >= -2 && x < 3);
    }
    CHECK(wrong == 0);
}

int main(void)
{
    test_known_answers();
    test_purity();
    test_distributions();
    CHECK(sky_hash_name("") == 2166136261u);
    CHECK(sky_hash_name("a") == 0xe40c292cu);
    CHECK(sky_hash_name("foobar") == 0xbf9cf968u);
    return check_done();
}
