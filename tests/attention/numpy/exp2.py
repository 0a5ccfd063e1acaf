# 2^x rounded correctly to FP32. Almost always the C library's double decides; where a double
# cannot, exact decimal arithmetic does. Nothing rests on the library's last bits.

from decimal import Context, Decimal
from fractions import Fraction

import numpy as np

from formats import F32, F64, fl

# The double is within 4 ulp (2^-50 relative) of 2^x in every library NumPy uses. Sixty-four times
# that on either side must round to the same FP32 number, or the double does not decide. About one
# argument in 2^19 is undecided. 2^x is never halfway between two FP32 numbers: for an integer x it
# is one of them, for any other x it is irrational.
MARGIN = 2.0**-44


def exp2(x):
    """fl(2^x): correctly rounded to FP32, then flushed; 2^-inf = 0."""
    x = np.asarray(x, F32)
    double = np.exp2(x.astype(F64))
    # Below -126 the result is at most 2^-126 * (1 - 2^-18): subnormal, flushed.
    double[x < -126] = 0
    low = (double * (1 - MARGIN)).astype(F32)
    high = (double * (1 + MARGIN)).astype(F32)
    result = low.copy()
    undecided = (low != high) & ~np.isnan(x)
    result[undecided] = [exp2_exact(v) for v in x[undecided]]
    return fl(result)


def exp2_exact(x):
    """One argument in [-126, 128): 2^x to 60 digits, then the nearest of the FP32 numbers around it."""
    digits = Context(prec=60)
    power = digits.exp(digits.multiply(Decimal(float(x)), digits.ln(Decimal(2))))
    middle = F32(float(power))
    candidates = [np.nextafter(middle, F32(0)), middle, np.nextafter(middle, F32(np.inf))]
    power = Fraction(power)
    distances = sorted((abs(Fraction(float(c)) - power), float(c)) for c in candidates
                       if np.isfinite(c))
    assert distances[1][0] - distances[0][0] > power * Fraction(1, 10**50), "a tie cannot occur"
    return F32(distances[0][1])
