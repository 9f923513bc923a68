# Runs COMMAND; what it prints becomes the file OUT, only if it ended well.
execute_process(COMMAND ${COMMAND} OUTPUT_FILE ${OUT}.new RESULT_VARIABLE status)
if(NOT status EQUAL 0)
        message(FATAL_ERROR "${COMMAND}: ${status}")
endif()
file(RENAME ${OUT}.new ${OUT})
