// Asserts that an operation fails with a status and a message that says what matters.
#pragma once

#include <initializer_list>
#include <string>

#include <gtest/gtest.h>

#include "core/error.h"

namespace reprise::test {

/// Every part must occur in the message.
template <typename Operation>
void expect_error(reprise_status status, std::initializer_list<const char*> parts, Operation operation) {
    try {
        operation();
    } catch (const Error& error) {
        EXPECT_EQ(status, error.status()) << error.what();
        const std::string message = error.what();
        for (const char* part : parts) {
            EXPECT_NE(std::string::npos, message.find(part)) << "no \"" << part << "\" in: " << message;
        }
        return;
    }
    ADD_FAILURE() << "no error where status " << status << " was expected";
}

}  // namespace reprise::test
