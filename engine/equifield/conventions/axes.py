"""The attributes by which coordinates say which axis they belong to, as CF has them."""

EAST = ("degrees_east", "degree_east", "degrees_E", "degree_E", "degreesE", "degreeE")
NORTH = ("degrees_north", "degree_north", "degrees_N", "degree_N", "degreesN", "degreeN")
UNITS = {"x": EAST, "y": NORTH}
STANDARD_NAMES = {
    "x": ("longitude", "grid_longitude", "projection_x_coordinate"),
    "y": ("latitude", "grid_latitude", "projection_y_coordinate"),
    "z": ("height", "altitude", "depth", "height_above_mean_sea_level", "height_above_reference_ellipsoid"),
}
