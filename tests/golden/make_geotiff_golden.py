#!/usr/bin/env python3
"""Makes tests/golden/geotiff: small GeoTIFFs in several coordinate systems, and golden.tsv with their middles as pyproj sees them, with the ground size of a
pixel (geodesics on WGS 84), and many points of every system. geotiff_golden_test.c asks for the same.

Debian 12: apt-get install python3-pil python3-pyproj; then run this file.
"""
import math
import os
import random

import PIL
import pyproj
from PIL import Image, TiffImagePlugin

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "geotiff")
WIDTH, HEIGHT = 10, 6
SCALE, TIE, MATRIX, KEYS = 33550, 33922, 34264, 34735
lines = []


def degrees(epsg, x, y):
    longitude, latitude = pyproj.Transformer.from_crs("EPSG:%d" % epsg, "EPSG:4326", always_xy=True).transform(x, y)
    return latitude, longitude


def keys(epsg, point=False):
    model, key = (2, 2048) if epsg == 4326 else (1, 3072)
    entries = [(1024, 0, 1, model), (1025, 0, 1, 2 if point else 1), (key, 0, 1, epsg)]
    return [1, 1, 0, len(entries)] + [number for entry in entries for number in entry]


def save(name, tags):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, values in tags.items():
        info.tagtype[tag] = 3 if tag == KEYS else 12
        info[tag] = tuple(values)
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 60)).save(os.path.join(FOLDER, name), tiffinfo=info, compression="tiff_adobe_deflate")


def add(name, epsg, matrix, tags, shift=0.0):
    """matrix: a, b, c, d, e, f of x = a*column + b*row + c, y = d*column + e*row + f, of pixel corners; shift 0.5: of pixel middles."""
    save(name, tags)
    a, b, c, d, e, f = matrix
    place = lambda column, row: degrees(epsg, a * (column - shift) + b * (row - shift) + c, d * (column - shift) + e * (row - shift) + f)
    middle, right, below = place(WIDTH / 2, HEIGHT / 2), place(WIDTH / 2 + 1, HEIGHT / 2), place(WIDTH / 2, HEIGHT / 2 + 1)
    geod = pyproj.Geod(ellps="WGS84")
    step = lambda other: geod.inv(middle[1], middle[0], other[1], other[0])[2]
    lines.append("file\t%s\t%.12f\t%.12f\t%.6f" % (name, middle[0], middle[1], math.sqrt(step(right) * step(below))))


def tied(epsg, x, y, size, point=False):
    return {SCALE: [size, size, 0.0], TIE: [0.0, 0.0, 0.0, x, y, 0.0], KEYS: keys(epsg, point)}


def make_files():
    add("degrees.tif", 4326, (2e-6, 0, 8.4, 0, -2e-6, 49.01), tied(4326, 8.4, 49.01, 2e-6))
    add("mercator.tif", 3857, (0.6, 0, 1335000.0, 0, -0.6, 6150000.0), tied(3857, 1335000.0, 6150000.0, 0.6))
    add("utm32n.tif", 32632, (0.3, 0, 456789.0, 0, -0.3, 5432100.0), tied(32632, 456789.0, 5432100.0, 0.3))
    add("utm56s.tif", 32756, (0.5, 0, 334000.0, 0, -0.5, 6252000.0), tied(32756, 334000.0, 6252000.0, 0.5))
    add("points.tif", 32632, (5.0, 0, 456789.0, 0, -5.0, 5432100.0), tied(32632, 456789.0, 5432100.0, 5.0, True), 0.5)
    turn = math.radians(30)
    a, b, d, e = 2 * math.cos(turn), 2 * math.sin(turn), 2 * math.sin(turn), -2 * math.cos(turn)
    matrix = [a, b, 0, 700000.0, d, e, 0, 4100000.0, 0, 0, 0, 0, 0, 0, 0, 1]
    add("turned.tif", 32633, (a, b, 700000.0, d, e, 4100000.0), {MATRIX: matrix, KEYS: keys(32633)})
    inner = {SCALE: [0.25, 0.25, 0.0], TIE: [4.0, 2.0, 0.0, 500100.0, 60000.0, 0.0], KEYS: keys(32631)}
    add("tied_inside.tif", 32631, (0.25, 0, 500099.0, 0, -0.25, 60000.5), inner)
    # What is not understood, or holds nothing.
    save("none.tif", {})
    save("swiss.tif", tied(2056, 2600000.0, 1200000.0, 0.5))
    save("own_system.tif", tied(32767, 2600000.0, 1200000.0, 0.5))
    save("no_system.tif", {SCALE: [1.0, 1.0, 0.0], TIE: [0.0, 0.0, 0.0, 1.0, 2.0, 0.0]})
    save("no_scale.tif", {TIE: [0.0, 0.0, 0.0, 8.0, 49.0, 0.0], KEYS: keys(4326)})
    save("off_the_earth.tif", tied(4326, 8.4, 200.0, 2e-6))
    save("no_size.tif", tied(4326, 8.4, 49.0, 0.0))
    save("short_keys.tif", {SCALE: [1.0, 1.0, 0.0], TIE: [0.0, 0.0, 0.0, 1.0, 2.0, 0.0], KEYS: [1, 1, 0, 500, 1024, 0, 1, 2]})


def record_points():
    chosen = random.Random(5)
    for epsg in [4326, 3857] + [32600 + zone for zone in (1, 7, 31, 32, 33, 45, 60)] + [32700 + zone for zone in (1, 18, 36, 56, 60)]:
        for _ in range(12):
            zone = epsg % 100
            longitude = zone * 6 - 183 + chosen.uniform(-3.5, 3.5) if epsg > 32600 else chosen.uniform(-180, 180)
            latitude = chosen.uniform(0, 84) * (-1 if epsg > 32700 or (epsg < 32600 and chosen.random() < 0.5) else 1)
            x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:%d" % epsg, always_xy=True).transform(longitude, latitude)
            lines.append("point\t%d\t%.6f\t%.6f\t%.12f\t%.12f" % ((epsg, x, y) + degrees(epsg, round(x, 6), round(y, 6))))


def main():
    os.makedirs(FOLDER, exist_ok=True)
    make_files()
    record_points()
    with open(os.path.join(FOLDER, "golden.tsv"), "w") as file:
        file.write("# made by make_geotiff_golden.py with pyproj %s and Pillow %s; degrees, metres a pixel\n" % (pyproj.__version__, PIL.__version__))
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
