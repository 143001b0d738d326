#!/usr/bin/env python3
"""Makes tests/golden/image: small pictures of every kind that src/image reads, and golden.tsv with checksums (zlib's CRC-32 of the RGB
bytes) of what Pillow 9.4 and torchvision 0.14 make of them. image_golden_test.c asks for the same bytes.

Debian 12: apt-get install python3-pil python3-torchvision python3-numpy; then run this file. The pictures are synthetic and come out the same
each time. Another Pillow may differ on purpose: from version 10.3 on it scales 16-bit gray to 8 bits where 9.4 cuts it off at 255.
"""
import io
import os
import struct
import zlib

import numpy as np
import PIL
import torchvision
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "image")
lines = []


def crc(image):
    return zlib.crc32(image.convert("RGB").tobytes())


def photo(width, height, seed):
    """Something like a photograph: smooth shading, hard edges, fine texture."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    out = np.zeros((height, width, 3))
    for c in range(3):
        out[..., c] = 120 + 70 * np.sin(x / (7 + 2 * c) + c) * np.cos(y / (9 - c)) + 30 * random.rand(height, width)
    out[height // 4 : height // 2, width // 3 : width // 2] = [250, 20, 40]
    out[height // 2 : height // 2 + 2] = 255
    out[:, width // 5] = 0
    return np.clip(out, 0, 255).astype(np.uint8)


def save(name, data):
    with open(os.path.join(FOLDER, name), "wb") as file:
        file.write(data)


def add_jpeg(name, image, patch=None, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    data = buffer.getvalue()
    save(name, patch(data) if patch else data)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_row(samples, depth):
    """samples: flat list of one row, 1 to 16 bits each."""
    if depth == 16:
        return np.asarray(samples, ">u2").tobytes()
    if depth == 8:
        return np.asarray(samples, np.uint8).tobytes()
    bits = "".join(format(int(v), "0%db" % depth) for v in samples)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def add_png(name, pixels, color, depth, palette=None, trns=None, interlaced=False, extra=b""):
    """pixels: [height][width][channels] numbers below 2**depth. Filter 0 on even rows, filter 1 (left) on odd rows of 8 bits and more."""
    height, width, channels = pixels.shape
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]
    raw = b""
    for x0, y0, dx, dy in passes:
        part = pixels[y0::dy, x0::dx]
        if part.shape[1] == 0:
            continue
        for y, row in enumerate(part):
            data = pack_row(row.reshape(-1), depth)
            if y % 2 and depth >= 8:
                step = channels * depth // 8
                data = b"\1" + bytes((v - (data[i - step] if i >= step else 0)) & 255 for i, v in enumerate(data))
            else:
                data = b"\0" + data
            raw += data
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))) + extra
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if trns is not None:
        out += chunk(b"tRNS", trns)
    save(name, out + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def make_jpegs():
    rgb = Image.fromarray(photo(61, 47, 1))
    add_jpeg("444.jpg", rgb, quality=90, subsampling=0)
    add_jpeg("422.jpg", rgb, quality=85, subsampling=1)
    add_jpeg("420.jpg", rgb, quality=75, subsampling=2)
    add_jpeg("420_progressive.jpg", rgb, quality=80, subsampling=2, progressive=True)
    add_jpeg("444_progressive.jpg", rgb, quality=95, subsampling=0, progressive=True)
    add_jpeg("quality_5.jpg", rgb, quality=5)
    add_jpeg("gray.jpg", rgb.convert("L"), quality=85)
    add_jpeg("gray_progressive.jpg", rgb.convert("L"), quality=85, progressive=True)
    cmyk = Image.fromarray(np.dstack([photo(37, 29, 2), 255 - photo(37, 29, 3)[..., 0] // 3]), "CMYK")
    add_jpeg("cmyk.jpg", cmyk, quality=90)
    # The same data read as YCCK: the last byte of the Adobe marker says which it is.
    add_jpeg("ycck.jpg", cmyk, quality=90, patch=lambda data: data.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2"))
    add_jpeg("one_pixel.jpg", rgb.crop((20, 20, 21, 21)), quality=90)
    add_jpeg("wide.jpg", Image.fromarray(photo(130, 3, 4)), quality=90)
    small = Image.fromarray(photo(24, 17, 5))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        add_jpeg("orientation_%d.jpg" % orientation, small, quality=90, exif=exif.tobytes())


def make_pngs():
    random = np.random.RandomState(7)
    rgb = photo(33, 21, 6).astype(int)
    gray, alpha = rgb[..., :1], random.randint(0, 256, (21, 33, 1))
    wide = lambda pixels: pixels * 256 + random.randint(0, 256, pixels.shape)
    indices = lambda depth: random.randint(0, 2**depth, (21, 33, 1))
    colors = random.randint(0, 256, (256, 3))
    add_png("rgb8.png", rgb, 2, 8)
    add_png("rgb8_interlaced.png", rgb, 2, 8, interlaced=True)
    add_png("rgb8_trns.png", rgb, 2, 8, trns=struct.pack(">HHH", *rgb[3, 4]))
    add_png("rgb16.png", wide(rgb), 2, 16)
    add_png("rgba8.png", np.dstack([rgb, alpha]), 6, 8)
    add_png("rgba16_interlaced.png", wide(np.dstack([rgb, alpha])), 6, 16, interlaced=True)
    add_png("gray_alpha8.png", np.dstack([gray, alpha]), 4, 8)
    add_png("gray_alpha16.png", wide(np.dstack([gray, alpha])), 4, 16)
    for depth in (1, 2, 4, 8):
        add_png("gray%d.png" % depth, gray >> (8 - depth), 0, depth)
        add_png("gray%d_interlaced.png" % depth, gray >> (8 - depth), 0, depth, interlaced=True, trns=b"\0\1")
        add_png("palette%d.png" % depth, indices(depth), 3, depth, palette=colors[: 2**depth])
    dark = wide(gray)
    dark[:10] = random.randint(0, 300, dark[:10].shape)  # around the place where 9.4 cuts off
    add_png("gray16.png", dark, 0, 16)
    add_png("gray16_interlaced.png", dark, 0, 16, interlaced=True)
    add_png("palette8_trns.png", indices(8), 3, 8, palette=colors, trns=bytes(range(0, 200)))
    add_png("palette8_short.png", indices(8), 3, 8, palette=colors[:20])
    add_png("palette4_interlaced.png", indices(4), 3, 4, palette=colors[:16], interlaced=True)
    add_png("gamma.png", rgb, 2, 8, extra=chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tEXt", b"Comment\0linear"))
    add_png("one_pixel.png", rgb[:1, :1], 2, 8)
    add_png("tall.png", rgb[:, :1], 2, 8)
    add_png("photo.png", photo(96, 72, 8).astype(int), 2, 8)
    add_png("square.png", photo(48, 48, 9).astype(int), 2, 8)


def add_tiff(name, pixels, bits, photometric, order="<", compression=1, tile=None, rows=None, separate=False, big=False, more=()):
    """pixels: [height][width][bands] numbers below 2**bits. compression 1 (none) or 8 (deflate); tile: (width, height), else strips of `rows` rows; more: (tag, type, values)."""
    height, width, bands = pixels.shape
    planes = [pixels[..., c : c + 1] for c in range(bands)] if separate else [pixels]
    wide = order + "u2"
    blocks = []
    for plane in planes:
        if tile:
            padded = np.zeros((-(-height // tile[1]) * tile[1], -(-width // tile[0]) * tile[0], plane.shape[2]), int)
            padded[:height, :width] = plane
            parts = [padded[y : y + tile[1], x : x + tile[0]] for y in range(0, height, tile[1]) for x in range(0, width, tile[0])]
        else:
            parts = [plane[y : y + (rows or height)] for y in range(0, height, rows or height)]
        for part in parts:
            data = b"".join(row.astype(wide).tobytes() if bits == 16 else pack_row(row.reshape(-1), bits) for row in part)
            blocks.append(zlib.compress(data, 9) if compression == 8 else data)
    start = 16 if big else 8
    offsets = [start + sum(map(len, blocks[:i])) for i in range(len(blocks))]
    sizes = list(map(len, blocks))
    tags = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * bands), (259, 3, [compression]), (262, 3, [photometric]), (277, 3, [bands])]
    tags += [(322, 4, [tile[0]]), (323, 4, [tile[1]]), (324, 4, offsets), (325, 4, sizes)] if tile else [(273, 4, offsets), (278, 4, [rows or height]), (279, 4, sizes)]
    tags += [(284, 3, [2 if separate else 1])] + list(more)
    body = b"".join(blocks)
    body += b"\0" * (-len(body) % 8)
    place = start + len(body)
    room, count_code, offset_code, entry = (8, "Q", "Q", 20) if big else (4, "I", "I", 12)
    after = place + (8 if big else 2) + entry * len(tags) + room
    directory, behind = struct.pack(order + ("Q" if big else "H"), len(tags)), b""
    for tag, kind, values in sorted(tags):
        data = struct.pack(order + "%d%s" % (len(values), {3: "H", 4: "I", 12: "d"}[kind]), *values)
        directory += struct.pack(order + "HH" + count_code, tag, kind, len(values))
        if len(data) <= room:
            directory += data + b"\0" * (room - len(data))
        else:
            directory += struct.pack(order + offset_code, after + len(behind))
            behind += data + b"\0" * (-len(data) % 8)
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(order + "HHHQ", 43, 8, 0, place) if big else struct.pack(order + "HI", 42, place))
    save(name, head + body + directory + b"\0" * room + behind)


def make_tiffs():
    random = np.random.RandomState(13)
    rgb = photo(33, 21, 14).astype(int)
    gray, alpha = rgb[..., :1], random.randint(0, 256, (21, 33, 1))
    alpha[:5], alpha[5:8] = 255, 0
    wide = lambda pixels: pixels * 256 + random.randint(0, 256, pixels.shape)
    colors = random.randint(0, 65536, (3, 256))
    palette = lambda bits: [(320, 3, list(colors[:, : 2**bits].reshape(-1)))]
    indices = lambda bits: random.randint(0, 2**bits, (21, 33, 1))
    add_tiff("rgb8.tif", rgb, 8, 2, rows=4)
    add_tiff("rgb8_big_endian.tif", rgb, 8, 2, order=">")
    add_tiff("rgb8_deflate_tiles.tif", rgb, 8, 2, compression=8, tile=(16, 16))
    add_tiff("rgb8_separate.tif", rgb, 8, 2, separate=True, rows=8, compression=8)
    add_tiff("rgb8_bigtiff.tif", rgb, 8, 2, big=True, compression=8, rows=5)
    add_tiff("rgb8_two_more_bands.tif", np.dstack([rgb, alpha, alpha]), 8, 2, more=[(338, 3, [0, 0])])
    add_tiff("rgba8.tif", np.dstack([rgb, alpha]), 8, 2, more=[(338, 3, [2])])
    add_tiff("rgba8_premultiplied.tif", np.dstack([rgb * alpha // 255, alpha]), 8, 2, compression=8, more=[(338, 3, [1])])
    add_tiff("rgb16.tif", wide(rgb), 16, 2, compression=8, rows=6)
    add_tiff("rgb16_big_endian_tiles.tif", wide(rgb), 16, 2, order=">", compression=8, tile=(16, 32))
    add_tiff("rgba16_premultiplied.tif", wide(np.dstack([rgb * alpha // 255, alpha])), 16, 2, compression=8, more=[(338, 3, [1])])
    for bits in (1, 2, 4, 8):
        add_tiff("gray%d.tif" % bits, gray >> (8 - bits), bits, 1, compression=8)
        add_tiff("gray%d_white_is_zero.tif" % bits, gray >> (8 - bits), bits, 0, rows=7)
        add_tiff("palette%d.tif" % bits, indices(bits), bits, 3, compression=8, more=palette(bits))
    dark = wide(gray)
    dark[:10] = random.randint(0, 300, dark[:10].shape)  # around the place where 9.4 cuts off
    add_tiff("gray16.tif", dark, 16, 1, compression=8)
    add_tiff("gray16_big_endian.tif", dark, 16, 1, order=">")
    add_tiff("gray_alpha8.tif", np.dstack([gray, alpha]), 8, 1, more=[(338, 3, [2])])
    for orientation in range(2, 9):
        add_tiff("orientation_%d.tif" % orientation, photo(9, 7, 15).astype(int), 8, 2, more=[(274, 3, [orientation])])
    image = Image.fromarray(rgb.astype(np.uint8))
    for compression in ("tiff_lzw", "packbits", "jpeg"):
        image.save(os.path.join(FOLDER, "rgb8_%s.tif" % compression), compression=compression)
    image.convert("1").save(os.path.join(FOLDER, "fax.tif"), compression="group4")


def record_decoding():
    for name in sorted(os.listdir(FOLDER)):
        if not name.endswith((".jpg", ".png", ".tif")):
            continue
        with Image.open(os.path.join(FOLDER, name)) as image:
            # Pillow turns a TIFF upright as soon as its pixels are read: no other way to see it.
            turned = image.convert("RGB") if name.endswith(".tif") else ImageOps.exif_transpose(image)
            for how, shown in (("ignore", image), ("apply", turned)):
                shown = shown.convert("RGB")
                lines.append("decode\t%s\t%s\t%d\t%d\t%d" % (name, how, shown.width, shown.height, crc(shown)))


def record_resizing():
    sizes = [(48, 36), (96, 36), (48, 72), (96, 72), (1, 1), (2, 3), (16, 16), (33, 51), (37, 31), (64, 64), (72, 54), (95, 71), (97, 73)]
    sizes += [(128, 96), (256, 256), (300, 7), (5, 200)]
    for name in ("photo.png", "420.jpg", "one_pixel.png", "tall.png", "wide.jpg", "gray8.png"):
        with Image.open(os.path.join(FOLDER, name)) as image:
            rgb = image.convert("RGB")
        for width, height in sizes:
            lines.append("resize\t%s\t%d\t%d\t%d" % (name, width, height, crc(rgb.resize((width, height), Image.BICUBIC))))


def record_jitter():
    with Image.open(os.path.join(FOLDER, "photo.png")) as image:
        rgb = image.convert("RGB")
    changes = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation]
    for factor in (0, 0.1, 0.5, 0.9, 0.95, 1, 1.0371, 1.1, 1.9, 3.3):
        for kind, change in enumerate(changes):
            lines.append("jitter\tphoto.png\t%d\t%r\t%d" % (kind, factor, crc(change(rgb, factor))))


def augment(rgb, size, pad, angle, top, left, mirrored, order, factors):
    changes = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation]
    for kind in order:
        rgb = changes[kind](rgb, factors[kind])
    rgb = F.resize(rgb, [size, size], InterpolationMode.BICUBIC)
    rgb = F.pad(rgb, pad, padding_mode="edge")
    if angle:
        rgb = F.affine(rgb, angle, [0, 0], 1.0, [0.0, 0.0], InterpolationMode.NEAREST, fill=0)
    rgb = F.crop(rgb, top, left, size, size)
    return F.hflip(rgb) if mirrored else rgb


def record_augmentation():
    random = np.random.RandomState(11)
    cases = [(48, 0, 0.0), (48, 5, 0.0), (48, 60, 0.0), (32, 10, 0.0), (47, 3, 0.0), (64, 10, 0.0), (5, 2, 0.0), (1, 1, 0.0)]
    angles = (90.0, -90.0, 45.0, 180.0, 1e-3, -17.25, 63.1234567, -89.99)
    cases += [(size, pad, angle) for size, pad in ((48, 5), (47, 4), (64, 10), (33, 0)) for angle in angles]
    cases += [(40, 6, float(random.uniform(-90, 90))) for _ in range(20)]
    for name in ("square.png", "photo.png"):
        with Image.open(os.path.join(FOLDER, name)) as image:
            rgb = image.convert("RGB")
        for number, (size, pad, angle) in enumerate(cases):
            for mirrored in (0, 1):
                top, left = random.randint(0, 2 * pad + 1, 2) if number % 3 else (pad, pad)
                order = [int(k) for k in random.permutation(3)]
                factors = [float(f) for f in random.uniform(0.5, 1.5, 3)] if number % 4 == 1 else [1.0, 1.0, 1.0]
                result = augment(rgb, size, pad, angle, int(top), int(left), mirrored, order, factors)
                numbers = [size, pad, angle, top, left, mirrored] + order + factors
                shown = "\t".join(repr(n) if isinstance(n, float) else str(int(n)) for n in numbers)
                lines.append("augment\t%s\t%s\t%d" % (name, shown, crc(result)))


def main():
    os.makedirs(FOLDER, exist_ok=True)
    make_jpegs()
    make_pngs()
    make_tiffs()
    record_decoding()
    record_resizing()
    record_jitter()
    record_augmentation()
    with open(os.path.join(FOLDER, "golden.tsv"), "w") as file:
        versions = "Pillow %s and torchvision %s" % (PIL.__version__, torchvision.__version__)
        file.write("# made by make_image_golden.py with %s; the last column is the CRC-32 of the RGB bytes\n" % versions)
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
