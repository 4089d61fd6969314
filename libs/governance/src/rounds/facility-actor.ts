/** Who acts when the facility does something by itself: counts, or follows a schedule. */
export const facility = 'facility';
