# Comments as Doxygen reads them. A \n and a <word> in a comment are meant literally, and karat.h,
# which is C, has plain comments in front of and behind what they speak of; lines of its sections stay.
/\/\/\//{
  s/\\n/\\\\n/g
  s/<([a-z]+)>/\\<\1\\>/g
}
s@^/\* ([^-])@/** \1@
s@([;,{]) +/\* @\1 /**< @
