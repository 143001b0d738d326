"""Where was this photo taken? skygem from Python through ctypes, with nothing but the shared library: python3 locate.py libskygem.so INDEX PHOTO.ppm

A binary PPM stands for a camera's buffer: RGB, 8 bits a channel, rows from the top. (Pillow: Image.open(photo).convert("RGB").save("photo.ppm"))"""
import ctypes as c
import sys


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("where", c.c_char * 1024), ("what", c.c_char * 2048), ("hint", c.c_char * 1024)]


class Candidate(c.Structure):
    _fields_ = [("tile", c.c_int64), ("similarity", c.c_float)]


class Answer(c.Structure):
    _fields_ = [("count", c.c_int64), ("candidates", c.POINTER(Candidate)), ("margin", c.c_double), ("confidence", c.c_double)]


class Tile(c.Structure):
    _fields_ = [("path", c.c_char_p), ("latitude", c.c_double), ("longitude", c.c_double), ("metres_per_pixel", c.c_double)]


sky = c.CDLL(sys.argv[1])
sky.sky_error_last.restype = c.POINTER(Error)
sky.sky_encoder_dimensions.restype = c.c_int64


def check(status):
    if status:
        error = sky.sky_error_last().contents
        sys.exit(f"{error.where.decode()}: {error.what.decode()}\n{error.hint.decode()}")


def read_ppm(path):
    data = open(path, "rb").read()
    kind, width, height, top = data.split(maxsplit=4)[:4]
    if kind != b"P6" or top != b"255":
        sys.exit(f"{path}: a binary PPM of 8 bits a channel is wanted")
    return data[-int(width) * int(height) * 3:], int(width), int(height)


index, encoder, search = c.c_void_p(), c.c_void_p(), c.c_void_p()
check(sky.sky_index_open(c.byref(index), sys.argv[2].encode(), None))
check(sky.sky_index_open_encoder(index, None, None, 0, c.byref(encoder)))
check(sky.sky_search_open(c.byref(search), index, c.c_int64(3), 0))

rgb, width, height = read_ppm(sys.argv[3])
feature = (c.c_float * sky.sky_encoder_dimensions(encoder))()
answer, tile = Answer(), Tile()
check(sky.sky_encoder_embed(encoder, rgb, width, height, c.c_size_t(0), feature))
check(sky.sky_search_run(search, feature, c.byref(answer)))
for i in range(answer.count):
    check(sky.sky_index_tile(index, c.c_int64(answer.candidates[i].tile), c.byref(tile)))
    print(f"{answer.candidates[i].similarity:.4f} {tile.latitude:.6f} {tile.longitude:.6f} {tile.path.decode()}")
print(f"margin {answer.margin:.4f}, confidence {answer.confidence:.3f} (nan: not calibrated)")

sky.sky_search_close(search)
sky.sky_encoder_close(encoder)
sky.sky_index_close(index)
