/*
 * A few neighbouring elements as floats, loaded and stored with the widest access that holds them: S is a pack's size where rows can be read in packs, and 1
 * where they cannot, so that one kernel source serves both. Also the sizes of a map.
 */
#pragma once

#include "device.cuh"

namespace sky {

template <int BYTES> struct unit_of;
template <> struct unit_of<1> { using type = uint8_t; };
template <> struct unit_of<2> { using type = uint16_t; };
template <> struct unit_of<4> { using type = uint32_t; };
template <> struct unit_of<8> { using type = uint2; };
template <> struct unit_of<16> { using type = uint4; };

/* S elements of T as they lie in memory. */
template <class T, int S> struct raw_few {
    static constexpr int bytes = S * (int)sizeof(T), units = bytes > 16 ? bytes / 16 : 1;
    using unit = typename unit_of<bytes / units>::type;
    unit part[units];
};

template <int S, class T> __device__ inline raw_few<T, S> load_raw(const T *from) /* aligned to its unit */
{
    raw_few<T, S> raw;
    for (int i = 0; i < raw.units; i++) raw.part[i] = reinterpret_cast<const typename raw_few<T, S>::unit *>(from)[i];
    return raw;
}

template <int S, class T> __device__ inline void store_raw(T *to, const raw_few<T, S> &raw)
{
    for (int i = 0; i < raw.units; i++) reinterpret_cast<typename raw_few<T, S>::unit *>(to)[i] = raw.part[i];
}

template <class T, int S> __device__ inline void unpack(const raw_few<T, S> &raw, T (&element)[S])
{
    memcpy((void *)element, raw.part, sizeof raw.part);
}

template <int S> struct few {
    float value[S];
};

template <class T, int S> __device__ inline few<S> to_few(const raw_few<T, S> &raw)
{
    T element[S];
    few<S> result;
    unpack(raw, element);
    for (int i = 0; i < S; i++) result.value[i] = to_float(element[i]);
    return result;
}

template <int S, class T> __device__ inline few<S> load_few(const T *from)
{
    return to_few<T, S>(load_raw<S>(from));
}

template <int S, class T> __device__ inline void store_few(T *to, const few<S> &from)
{
    T element[S];
    raw_few<T, S> raw;
    for (int i = 0; i < S; i++) element[i] = from_float<T>(from.value[i]);
    memcpy(raw.part, (const void *)element, sizeof raw.part);
    store_raw<S>(to, raw);
}

/* Integers beside them: saved positions. */
template <int S, class I> __device__ inline void load_integers(const I *from, I (&to)[S])
{
    unpack<I, S>(load_raw<S>(from), to);
}

template <int S, class I> __device__ inline void store_integers(I *to, const I (&from)[S])
{
    raw_few<I, S> raw;
    memcpy(raw.part, from, sizeof raw.part);
    store_raw<S>(to, raw);
}

/* A map's sizes as kernels take them: an image has fewer than 2^31 elements, all images together may have more. */
struct map_size {
    int height, width, channels;
    __host__ __device__ int64_t image() const { return (int64_t)height * width * channels; }
};

} // namespace sky
