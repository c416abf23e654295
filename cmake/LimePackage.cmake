# The target `package` makes Debian packages of what cmake --install installs: lime-train, the program; liblime-scorer0,
# the scorer for servers (liblime_scorer.so); lime-train-dev, libraries and headers, with what find_package(lime-train)
# looks for. Which libraries they need, and of which version, dpkg-shlibdeps reads from them: a package is for the
# distribution that it was built on. `cpack -G TGZ` in the build directory makes one archive of everything.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lime-train)
set(CPACK_PACKAGE_VENDOR "LIME-train")
set(CPACK_PACKAGE_CONTACT "LIME-train maintainers <maintainers@lime-train.invalid>")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program scorer development)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS program scorer)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME lime-train)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS openmpi-bin)  # mpirun
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "${PROJECT_DESCRIPTION}")
set(CPACK_DEBIAN_SCORER_PACKAGE_NAME liblime-scorer${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_SCORER_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_SCORER_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_SCORER_DESCRIPTION "${PROJECT_DESCRIPTION}: the scorer, as a shared library")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME lime-train-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libcli11-dev, libgoogle-glog-dev, libhdf5-dev, libhwy-dev, libopenblas-dev, libopenmpi-dev, libxxhash-dev, libyaml-cpp-dev, nlohmann-json3-dev, zlib1g-dev")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "${PROJECT_DESCRIPTION}: libraries and headers")
include(CPack)
